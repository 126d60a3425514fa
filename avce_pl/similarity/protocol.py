"""The contract of a similarity."""

from typing import Protocol

from torch import Tensor


class Similarity(Protocol):
    """Scores how alike two predictions are; higher is more alike. Stateless and differentiable.

    Columns are (valence, arousal), or the k class logits of the discrete mode. Half precision comes out as
    float32.
    """

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Score the rows of x: (N, k) and y: (N, k) one to one: (N,)."""
        ...

    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        """Score each row of x: (N, k) with each row of y: (M, k): (N, M)."""
        return self(x[:, None], y[None])
