"""The contract of a mining criterion."""

from typing import Protocol

import torch
from torch import Tensor

from avce_pl.functional.negatives import NegativeWeights


class Mining(Protocol):
    """Weighs negative pairs by their scores. Stateless; one meaning for every formula and criterion."""

    def __call__(self, scores: Tensor, generator: torch.Generator | None = None) -> NegativeWeights:
        """Weigh the negatives along the last dimension.

        Args:
            scores: (N,) scores of the negative pairs, or (N, M) of each anchor with each negative, as they
                stand in the exponent of the formula (already divided by its temperature). Detached, unless
                the formula wants the weights differentiated.
            generator: source of random draws; pass one to make them repeatable and equal in all processes.

        Returns:
            Non-negative weights of the same shape with mean 1 along the last dimension, and the
            false-negative correction of the criterion.
        """
        ...
