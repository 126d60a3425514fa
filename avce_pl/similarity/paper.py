"""The similarity of the paper: angle, intensity and valence sign."""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from avce_pl.functional.similarity import angular_similarity, intensity_similarity, valence_sign_differs
from avce_pl.similarity.protocol import Similarity


class PaperSimilarity(Similarity):
    """Similarity f(x, y) = (1 − θ/π) + σ(1 − |‖x‖ − ‖y‖|) − w·½·1[sign x_V ≠ sign y_V].

    Sources: "angle and intensity ... in the polar coordinate" (abstract), the angle term as on the poster,
    the intensity and sign terms as in the released code. Read here: the supplement is silent on the sign of
    zero, which is taken as in the released code (`valence_sign_differs`); in the discrete mode (k ≠ 2) there
    is no valence, so the sign term is left out.

    Args:
        intensity_weight: σ ≥ 0.
        sign_weight: w ≥ 0; half of it is subtracted where the valences disagree in sign.
    """

    def __init__(
        self,
        intensity_weight: Annotated[float, Field(ge=0)] = 0.8,
        sign_weight: Annotated[float, Field(ge=0)] = 0.1,
    ) -> None:
        self.intensity_weight = intensity_weight
        self.sign_weight = sign_weight

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Score aligned rows, see `Similarity`."""
        score = angular_similarity(x, y) + self.intensity_weight * intensity_similarity(x, y)
        if x.shape[-1] == 2:
            score = score - self.sign_weight / 2 * valence_sign_differs(x, y)
        return score
