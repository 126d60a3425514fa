"""DACL: an attentive centre loss (Farzaneh & Qi, WACV 2021)."""

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from avce_pl.backbone.base import Backbone
from avce_pl.backbone.heads import Regressor
from avce_pl.functional.published_losses import attentive_centre_loss, step_centres
from avce_pl.method.baseline import Baseline, Weight
from avce_pl.method.dlp import require_classes
from avce_pl.method.pooling import pool_maps
from avce_pl.optimizer.base import OptimizerConfig

_SIDE = 7  # of layer4's maps at 224 px


class DACL(Baseline):
    """Cross-entropy plus a centre loss, each of whose dimensions an attention network weighs for each face.

    z is the global average of the encoder's maps, read out by one linear layer. The attention sees the maps: FC 3584,
    FC 512, FC 64 with BatchNorm, then a softmax of two for each dimension of z. It takes part in training only.

    Source: the paper's public code, with its defaults. Readings taken: maps are pooled to 7x7 before the attention, so
    that its size does not depend on the image's (91,862,208 parameters on a ResNet18). The code starts from a network
    for face recognition, which cannot be had.
    """

    centres: Tensor

    def __init__(
        self,
        backbone: Backbone,
        optimizer: OptimizerConfig,
        seed: int,
        classes: int = 0,
        centre_weight: Weight = 0.01,
        centre_rate: Annotated[float, Field(ge=0)] = 0.5,
    ) -> None:
        """Composes the method.

        Args:
            backbone: encoder; its compressor is replaced by pooling.
            optimizer: the optimizer and its learning rates.
            seed: seed of the weights.
            classes: number of expressions, not 0.
            centre_weight: λ.
            centre_rate: α, the step of the centres.

        Raises:
            AvceError: `classes` is 0.
        """
        require_classes("dacl", classes)
        channels = pool_maps(backbone)
        super().__init__(backbone, optimizer, seed, classes)
        self.auxiliary_weight = centre_weight
        self.centre_rate = centre_rate
        self.attention = nn.Sequential(
            *(nn.AdaptiveAvgPool2d(_SIDE), nn.Flatten()),
            *(nn.Linear(channels * _SIDE**2, 3584), nn.BatchNorm1d(3584), nn.ReLU()),
            *(nn.Linear(3584, 512), nn.BatchNorm1d(512), nn.ReLU()),
            *(nn.Linear(512, 64), nn.BatchNorm1d(64), nn.Tanh()),
            nn.Linear(64, 2 * channels),
        )
        self.register_buffer("centres", nn.init.kaiming_normal_(torch.empty(classes, channels)))

    @classmethod
    def inference_regressor(cls, backbone: Backbone, section: Mapping[str, Any]) -> Regressor:
        """The linear read-out; gives the backbone its pooling, see `Method.inference_regressor`."""
        return Regressor(pool_maps(backbone), hidden=None)

    def auxiliary_loss(self, maps: Tensor, latent: Tensor, target: Tensor) -> Tensor:
        """The attentive centre loss; then moves the centres, which no optimizer steps."""
        weights = self.attention(self.gather(maps)).unflatten(1, (-1, 2)).softmax(2)[..., 1]
        loss = attentive_centre_loss(latent, weights, self.centres, target)
        self.centres = step_centres(latent, weights, self.centres, target, self.centre_rate).to(self.centres)
        return loss
