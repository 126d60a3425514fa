"""InfoNCE, the formula AVCE is derived from."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from avce_pl.crl_formula.protocol import CRLFormula, CRLLoss, check_single_scores, diagnostics
from avce_pl.functional.contrastive import infonce_cross_loss, infonce_loss, views_of_next_face
from avce_pl.mining.protocol import Mining
from avce_pl.similarity.protocol import Similarity


class InfoNCE(CRLFormula):
    """InfoNCE loss; see `infonce_loss` and `infonce_cross_loss`.

    Args:
        pairs: `aligned` contrasts each anchor with its own negative, Eq. (6) of the supplement; `cross` with
            the negatives of the whole batch, the usual form of the loss. `shuffled` is a control: as `aligned`,
            with the views of another face, see `views_of_next_face`.
        temperature: T > 0. Eq. (6) has none; publications with the cross form use 0.5.
        floor_score: least score of a negative pair, which bounds a false-negative correction from below. Read
            here: 0, the least value of the angle term; the intensity term has none.
    """

    uses_projection_head: ClassVar[bool] = True

    def __init__(
        self,
        pairs: Literal["aligned", "cross", "shuffled"] = "aligned",
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
        if self.pairs == "shuffled":
            positive, negative = views_of_next_face(positive, negative)
        score_positive = similarity(anchor, positive)
        if self.pairs == "cross":
            check_single_scores(score_positive)
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
