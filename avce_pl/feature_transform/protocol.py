"""The contract of a feature transform."""

from typing import Protocol

from torch import Tensor


class FeatureTransform(Protocol):
    """Maps a latent to its sparse and its soft point on the probability simplex (Eqs. (1), (2), supplement).

    Without parameters, and without anything in the ``state_dict``.
    """

    def __call__(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Transform a batch of latents.

        Args:
            latent: Shape ``(N, d)``, floating point, any device.

        Returns:
            ``(sparse, soft)``, each of shape ``(N, d)`` with the dtype and device of ``latent``, rows on the
            simplex.
        """
        ...
