"""No mining: all negatives count the same."""

import torch
from torch import Tensor

from avce_pl.functional.negatives import NegativeWeights, keep_all
from avce_pl.mining.protocol import Mining


class NoMining(Mining):
    """Keeps every negative pair with weight 1."""

    def __call__(self, scores: Tensor, generator: torch.Generator | None = None) -> NegativeWeights:
        """Weigh the negatives, see `Mining`."""
        return NegativeWeights(keep_all(scores))
