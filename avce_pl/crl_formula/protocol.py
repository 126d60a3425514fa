"""The contract of a contrastive formula, and its result."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from avce_pl.errors import AvceError
from avce_pl.functional.negatives import NegativeWeights
from avce_pl.mining.protocol import Mining
from avce_pl.similarity.protocol import Similarity


@dataclass(frozen=True, eq=False)
class CRLLoss:
    """Result of a formula.

    Attributes:
        loss: scalar to minimise, float32 or wider, not yet weighted against the supervised loss.
        diagnostics: detached scalars to log: `similarity_positive` and `similarity_negative`, the mean scores
            before mining, and `share_kept`, the effective share of the negatives in use
            (`NegativeWeights.share_kept`).
    """

    loss: Tensor
    diagnostics: dict[str, Tensor]


class CRLFormula(Protocol):
    """Contrasts the three views of a batch.

    Attributes:
        uses_projection_head: False where the formula ignores the positive and negative views, so that the
            method need not compute them.
    """

    uses_projection_head: ClassVar[bool]

    def __call__(
        self,
        anchor: Tensor,
        positive: Tensor,
        negative: Tensor,
        similarity: Similarity,
        mining: Mining,
        generator: torch.Generator | None = None,
    ) -> CRLLoss:
        """Compute the loss of a batch, the whole batch of all processes.

        Args:
            anchor: (N, k) predictions x.
            positive: (N, k) sparse view y_a.
            negative: (N, k) soft view y_n.
            similarity: f.
            mining: weighs the negatives.
            generator: source of the random draws of the mining.
        """
        ...


def check_single_scores(score_positive: Tensor) -> None:
    """Refuses the (N, N) scores of a broadcasting similarity, which ``pairs=cross`` cannot use.

    Raises:
        AvceError: the scores of the positive pairs are not (N,).
    """
    if score_positive.ndim != 1:
        raise AvceError(
            "crl_formula.pairs=cross contrasts single scores and cannot use the N x N scores of "
            "similarity=official with similarity.sign_pairing=broadcast. "
            "Set similarity.sign_pairing=aligned or crl_formula.pairs=aligned."
        )


def diagnostics(positive: Tensor, negative: Tensor, weights: NegativeWeights) -> dict[str, Tensor]:
    """Diagnostics of `CRLLoss` from the scores of positive and negative pairs and the negatives' weights."""
    return {
        "similarity_positive": positive.detach().mean(),
        "similarity_negative": negative.detach().mean(),
        "share_kept": weights.share_kept.detach(),
    }
