"""The similarity of the poster: the angle alone."""

from torch import Tensor

from avce_pl.functional.similarity import angular_similarity
from avce_pl.similarity.protocol import Similarity


class AngleSimilarity(Similarity):
    """Similarity f(x, y) = 1 − θ/π in [0, 1] (poster)."""

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Score aligned rows, see `Similarity`."""
        return angular_similarity(x, y)
