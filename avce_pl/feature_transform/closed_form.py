"""The default feature transform: both projections in closed form."""

import torch
from torch import Tensor

from avce_pl.functional.simplex import sparsemax


class ClosedForm:
    """Computes SparseMax by sorting and SoftMax by normalised exponentials (Eqs. (1), (2), supplement).

    Exact, with analytic gradients, on any device, and thousands of times faster than solving the two problems
    numerically. See ``sparsemax`` for precision and for what happens to non-finite input.
    """

    def __call__(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(sparse, soft)``, each ``(N, d)`` in the dtype of ``latent``."""
        return sparsemax(latent), torch.softmax(latent, -1).to(latent.dtype)
