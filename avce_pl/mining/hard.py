"""Hard negatives: those most similar to their anchor count more."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from avce_pl.functional.negatives import NegativeWeights, draw_hard, importance_log_weights, keep_highest
from avce_pl.mining.protocol import Mining


class HardMining(Mining):
    """Prefers hard negatives "with adjustable hardness through importance sampling" (supplement, section 6).

    Read here: N̂ = ⌊share·N⌋ negatives are drawn without replacement with probability ∝
    exp(concentration·score). The supplement gives no N̂; the share is the only ratio in the released code.

    Args:
        form: `select` draws pairs (supplement); `reweight` keeps all with weights ∝ exp(concentration·score)
            (the original publication).
        share: share of the pairs to draw, for `select`.
        deterministic: keep the N̂ highest scores instead of drawing, for `select`.
        concentration: hardness; 0 makes all pairs equal.
        class_prior: τ⁺ of the false-negative correction, for `reweight`; 0 for none.
    """

    def __init__(
        self,
        form: Literal["select", "reweight"] = "select",
        share: Annotated[float, Field(gt=0, le=1)] = 0.8,
        deterministic: bool = False,
        concentration: Annotated[float, Field(ge=0)] = 1.0,
        class_prior: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        self.form = form
        self.share = share
        self.deterministic = deterministic
        self.concentration = concentration
        self.class_prior = class_prior

    def __call__(self, scores: Tensor, generator: torch.Generator | None = None) -> NegativeWeights:
        """Weigh the negatives, see `Mining`."""
        if self.form == "reweight":
            return NegativeWeights(importance_log_weights(scores, self.concentration), self.class_prior)
        if self.deterministic:
            return NegativeWeights(keep_highest(scores, self.share))
        return NegativeWeights(draw_hard(scores, self.share, self.concentration, generator))
