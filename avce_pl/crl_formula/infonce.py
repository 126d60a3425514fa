"""InfoNCE, the formula AVCE is derived from."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from avce_pl.crl_formula.protocol import CRLFormula, CRLLoss, Mining, Similarity, diagnostics
from avce_pl.errors import AvceError
from avce_pl.functional.contrastive import infonce_cross_loss, infonce_loss


class InfoNCE(CRLFormula):
    """InfoNCE loss; see `infonce_loss` and `infonce_cross_loss`.

    Args:
        pairs: `aligned` contrasts each anchor with its own negative, Eq. (6) of the supplement; `cross` with
            the negatives of the whole batch, the usual form of the loss.
        temperature: T > 0. Eq. (6) has none; publications with the cross form use 0.5.
        floor_score: least score of a negative pair, which bounds a false-negative correction from below. Read
            here: 0, the least value of the angle term; the intensity term has none.
    """

    uses_projection_head: ClassVar[bool] = True

    def __init__(
        self,
        pairs: Literal["aligned", "cross"] = "aligned",
        temperature: Annotated[float, Field(gt=0)] = 1.0,
        floor_score: float = 0.0,
    ) -> None:
        self.pairs = pairs
        self.temperature = temperature
        self.floor_score = floor_score

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
        if self.pairs == "cross":
            if score_positive.ndim != 1:
                raise AvceError(
                    "crl_formula.pairs=cross contrasts single scores and cannot use the N x N scores of "
                    "similarity=official with similarity.sign_pairing=broadcast. "
                    "Set similarity.sign_pairing=aligned or crl_formula.pairs=aligned."
                )
            score_negative = similarity.pairwise(anchor, negative)
            # Not detached: the authors of the hard-negative loss differentiate its weights.
            weights = mining(score_negative / self.temperature, generator)
            loss_function = infonce_cross_loss
        else:
            score_negative = similarity(anchor, negative)
            weights = mining(score_negative.detach() / self.temperature, generator)
            loss_function = infonce_loss
        loss = loss_function(score_positive, score_negative, self.temperature, self.floor_score, weights)
        return CRLLoss(loss, diagnostics(score_positive, score_negative, weights))
