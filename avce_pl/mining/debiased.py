"""Debiased negatives: fewer or discounted false negatives."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from avce_pl.functional.negatives import NegativeWeights, keep_all, keep_lowest
from avce_pl.mining.protocol import Mining


class DebiasedMining(Mining):
    """Removes negatives that are likely positives.

    "From the negative pairs sampled as many as the number of mini-batches (N), N̂ (< N) pairs are selected";
    Debiased "reduces the false negatives, i.e., y_ns similar to x" (supplement, section 6). Read here: the N̂
    negatives least similar to their anchor are kept. The supplement gives no N̂; the share is the only ratio
    in the released code.

    Args:
        form: `select` keeps N̂ = ⌊share·N⌋ pairs (supplement); `reweight` keeps all and subtracts the
            expected share of positives from the expectation over negatives (the original publication).
        share: share of the pairs to keep, for `select`.
        class_prior: τ⁺, the probability that a negative is really positive, for `reweight`.
    """

    def __init__(
        self,
        form: Literal["select", "reweight"] = "select",
        share: Annotated[float, Field(gt=0, le=1)] = 0.8,
        class_prior: Annotated[float, Field(ge=0, lt=1)] = 0.1,
    ) -> None:
        self.form = form
        self.share = share
        self.class_prior = class_prior

    def __call__(self, scores: Tensor, generator: torch.Generator | None = None) -> NegativeWeights:
        """Weigh the negatives, see `Mining`."""
        if self.form == "select":
            return NegativeWeights(keep_lowest(scores, self.share))
        return NegativeWeights(keep_all(scores), self.class_prior)
