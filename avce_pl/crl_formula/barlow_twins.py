"""Barlow Twins with a term for the negatives."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from avce_pl.crl_formula.protocol import CRLFormula, CRLLoss, diagnostics
from avce_pl.functional.contrastive import barlow_twins_loss, views_of_next_face
from avce_pl.mining.protocol import Mining
from avce_pl.similarity.protocol import Similarity


class BarlowTwins(CRLFormula):
    """Barlow Twins loss; see `barlow_twins_loss`. The similarity serves the mining alone.

    Args:
        redundancy_weight: λ, weight of the correlations between different dimensions.
        negative_weight: weight of the correlations of anchor and negative (ours); 0 gives the original loss,
            on which mining does not act.
        eps: added to the variances of the batch.
        pairs: `aligned` correlates each anchor with its own views; `shuffled` is a control: the views are those of
            another face, see `views_of_next_face`.
    """

    uses_projection_head: ClassVar[bool] = True

    def __init__(
        self,
        redundancy_weight: Annotated[float, Field(ge=0)] = 0.0051,
        negative_weight: Annotated[float, Field(ge=0)] = 0.5,
        eps: Annotated[float, Field(gt=0)] = 1e-5,
        pairs: Literal["aligned", "shuffled"] = "aligned",
    ) -> None:
        self.redundancy_weight = redundancy_weight
        self.negative_weight = negative_weight
        self.eps = eps
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
        with torch.no_grad():
            score_positive = similarity(anchor, positive)
            score_negative = similarity(anchor, negative)
            weights = mining(score_negative, generator)
            # One weight per negative also where a similarity broadcasts to (N, N) scores.
            pair_weights = weights.weights.reshape(-1, len(anchor)).mean(0)
        loss = barlow_twins_loss(
            anchor,
            positive,
            negative,
            self.redundancy_weight,
            self.negative_weight,
            self.eps,
            pair_weights,
            weights.class_prior,
        )
        return CRLLoss(loss, diagnostics(score_positive, score_negative, weights))
