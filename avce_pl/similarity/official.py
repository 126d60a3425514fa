"""The similarity of the released code."""

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from avce_pl.functional.similarity import (
    intensity_similarity,
    official_angular_similarity,
    valence_sign_differs,
)
from avce_pl.similarity.protocol import Similarity


class OfficialSimilarity(Similarity):
    """Similarity f(x, y) = (1 − ¼·acos(½cos)/π) + σ(1 − |‖x‖ − ‖y‖|) − p·1[sign x_V ≠ sign y_V].

    Released code; the angle term as in `official_angular_similarity`, sign(0) = 0. In the discrete mode
    (k ≠ 2) the sign term is left out, as in `PaperSimilarity`.

    Args:
        intensity_weight: σ ≥ 0.
        sign_penalty: p ≥ 0.
        sign_pairing: `aligned` takes the penalty of each pair off its own score. `broadcast` is what the
            released code does: its (N, 1) penalties meet the (N,) scores as an (N, N) matrix, entry (i, j)
            being the score of pair j less the penalty of pair i. Aligned scores are then (N, N), and the
            means over them are those of the released code; `pairwise` scores are not affected.
    """

    def __init__(
        self,
        intensity_weight: Annotated[float, Field(ge=0)] = 0.8,
        sign_penalty: Annotated[float, Field(ge=0)] = 0.05,
        sign_pairing: Literal["aligned", "broadcast"] = "aligned",
    ) -> None:
        self.intensity_weight = intensity_weight
        self.sign_penalty = sign_penalty
        self.sign_pairing = sign_pairing

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Score aligned rows, see `Similarity`; (N, N) under `sign_pairing="broadcast"`."""
        return self._score(x, y, broadcast=self.sign_pairing == "broadcast")

    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        """Score all pairs, see `Similarity`."""
        return self._score(x[:, None], y[None], broadcast=False)

    def _score(self, x: Tensor, y: Tensor, broadcast: bool) -> Tensor:
        score = official_angular_similarity(x, y) + self.intensity_weight * intensity_similarity(x, y)
        if x.shape[-1] != 2:
            return score
        penalty = self.sign_penalty * valence_sign_differs(x, y)
        return score - (penalty[:, None] if broadcast else penalty)
