"""The three heads: regressor R, projection head H, discriminative head V (supplement, section 1)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from avce_pl.backbone.base import Backbone


class Regressor(nn.Sequential):
    """R: latent (N, d) -> valence and arousal (N, 2) or class logits (N, k), linear; the only head used at inference.

    Dropout, FC d -> 256, [BatchNorm], ReLU, FC -> outputs. With ``hidden=None`` a single linear layer, which is
    the read-out of the full AlexNet.
    """

    def __init__(
        self,
        latent_dim: int,
        outputs: int = 2,
        hidden: int | None = 256,
        batch_norm: bool = True,
        dropout: float = 0.5,
    ) -> None:
        if hidden is None:
            super().__init__(nn.Linear(latent_dim, outputs))
        else:
            super().__init__(nn.Dropout(dropout), *_two_layers(latent_dim, hidden, outputs, batch_norm))


def regressor_of(backbone: Backbone, section: Mapping[str, Any]) -> Regressor:
    """The regressor of valence and arousal behind a backbone, as the section of the configuration for a method says."""
    return Regressor(backbone.latent_dim, hidden=backbone.regressor_hidden, batch_norm=section.get("batch_norm", True))


class ProjectionHead(nn.Module):
    """H: a point on the simplex (N, d) -> a point of the valence/arousal plane (N, 2) in (-0.5, 0.5), or logits (N, k).

    FC d -> 256, [BatchNorm], ReLU, FC -> outputs, then 0.5 tanh if `bounded`: logits have no last activation.
    """

    def __init__(self, latent_dim: int, outputs: int = 2, batch_norm: bool = True, bounded: bool = True) -> None:
        super().__init__()
        self.bounded = bounded
        self.layers = nn.Sequential(*_two_layers(latent_dim, 256, outputs, batch_norm))

    def forward(self, feature: Tensor) -> Tensor:
        """Projects transformed features: (N, d) -> (N, outputs)."""
        point: Tensor = self.layers(feature)
        return 0.5 * torch.tanh(point) if self.bounded else point


class DiscriminativeHead(nn.Sequential):
    """V: latent or transformed feature (N, d) -> (N, 8), non-negative: FC d -> 64, [BatchNorm], ReLU, FC, ReLU."""

    def __init__(self, latent_dim: int, batch_norm: bool = True) -> None:
        super().__init__(*_two_layers(latent_dim, 64, 8, batch_norm), nn.ReLU())


def _two_layers(inputs: int, hidden: int, outputs: int, batch_norm: bool) -> list[nn.Module]:
    norm = [nn.BatchNorm1d(hidden)] if batch_norm else []
    return [nn.Linear(inputs, hidden), *norm, nn.ReLU(), nn.Linear(hidden, outputs)]
