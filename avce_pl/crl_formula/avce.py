"""AVCE, the contrastive formula of the paper."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from avce_pl.crl_formula.protocol import CRLFormula, CRLLoss, check_single_scores, diagnostics
from avce_pl.functional.contrastive import avce_objective, scores_of_other_faces, views_of_next_face
from avce_pl.functional.negatives import UNIFORM
from avce_pl.mining.protocol import Mining
from avce_pl.similarity.protocol import Similarity


class AVCE(CRLFormula):
    """Loss −J with the AVCE objective J of Eq. (7), supplement; see `avce_objective`.

    Args:
        alpha: weight of the mean of the negatives.
        beta: weight of the second moment of the positives.
        gamma: weight of the second moment of the negatives.
        reduction: `mean` over the batch; `sum` multiplies by its size, as the released code does, which ties
            the weight of the loss to the batch size.
        pairs: the pairs that are negative. `aligned` (released code): anchor and negative of one face, (x_i, y_n,i).
            `cross`: anchor and negative of two faces, (x_i, y_n,j) with j ≠ i, all N(N − 1) with equal weight; this
            takes P_X P_Y of Eqs. (6) and (7) as the product of the marginals. Mining then acts on the N − 1
            negatives of each anchor, and a false-negative correction uses the anchor's own positive. A batch of one
            has no negatives, so their terms are zero. `shuffled`: a control; as `aligned`, with both views of
            another face, see `views_of_next_face`.
    """

    uses_projection_head: ClassVar[bool] = True

    def __init__(
        self,
        alpha: Annotated[float, Field(ge=0)] = 0.5,
        beta: Annotated[float, Field(ge=0)] = 0.005,
        gamma: Annotated[float, Field(ge=0)] = 0.5,
        reduction: Literal["mean", "sum"] = "mean",
        pairs: Literal["aligned", "cross", "shuffled"] = "aligned",
    ) -> None:
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma
        self.reduction = reduction
        self.pairs = pairs

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
        if self.pairs == "shuffled":
            positive, negative = views_of_next_face(positive, negative)
        score_positive = similarity(anchor, positive)
        if self.pairs == "cross":
            check_single_scores(score_positive)
            score_positive = score_positive[:, None]
            score_negative = scores_of_other_faces(similarity.pairwise(anchor, negative))
        else:
            score_negative = similarity(anchor, negative)
        if score_negative.numel() == 0:
            score_negative, weights = torch.zeros_like(score_positive), UNIFORM
        else:
            weights = mining(score_negative.detach(), generator)
        loss = -avce_objective(score_positive, score_negative, self.alpha, self.beta, self.gamma, weights)
        if self.reduction == "sum":
            loss = loss * len(anchor)
        return CRLLoss(loss, diagnostics(score_positive, score_negative, weights))
