"""AVCE, the contrastive formula of the paper."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from avce_pl.crl_formula.protocol import CRLFormula, CRLLoss, Mining, Similarity, diagnostics
from avce_pl.functional.contrastive import avce_objective


class AVCE(CRLFormula):
    """Loss −J with the AVCE objective J of Eq. (7), supplement; see `avce_objective`.

    Args:
        alpha: weight of the mean of the negatives.
        beta: weight of the second moment of the positives.
        gamma: weight of the second moment of the negatives.
        reduction: `mean` over the batch; `sum` multiplies by its size, as the released code does, which ties
            the weight of the loss to the batch size.
    """

    uses_projection_head: ClassVar[bool] = True

    def __init__(
        self,
        alpha: Annotated[float, Field(ge=0)] = 0.5,
        beta: Annotated[float, Field(ge=0)] = 0.005,
        gamma: Annotated[float, Field(ge=0)] = 0.5,
        reduction: Literal["mean", "sum"] = "mean",
    ) -> None:
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma
        self.reduction = reduction

    def __call__(
        self,
        anchor: Tensor,
        positive: Tensor,
        negative: Tensor,
        similarity: Similarity,
        mining: Mining,
        generator: torch.Generator | None = None,
    ) -> CRLLoss:
        """Compute the loss, see `CRLFormula`."""
        score_positive = similarity(anchor, positive)
        score_negative = similarity(anchor, negative)
        weights = mining(score_negative.detach(), generator)
        loss = -avce_objective(score_positive, score_negative, self.alpha, self.beta, self.gamma, weights)
        if self.reduction == "sum":
            loss = loss * len(anchor)
        return CRLLoss(loss, diagnostics(score_positive, score_negative, weights))
