"""RAN: attention over regions of a face (Wang et al., TIP 2020)."""

from collections.abc import Mapping
from typing import Annotated, Any, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from avce_pl.backbone.base import Backbone
from avce_pl.backbone.heads import Regressor
from avce_pl.functional.published_losses import region_bias_loss
from avce_pl.method.baseline import Baseline, Supervised, Weight
from avce_pl.method.pooling import map_channels
from avce_pl.optimizer.base import OptimizerConfig

CROPS = ((0.0, 0.0, 0.75), (0.0, 0.25, 0.75), (0.25, 0.125, 0.75), (0.05, 0.05, 0.9), (0.075, 0.075, 0.85))
"""Top, left and side of the crops, as shares of the image: top left, top right, bottom centre, two central ones."""


class RegionEncoder(nn.Module):
    """One encoder for all crops and the whole face: (N, 3, H, W) -> (N, (k + 1) C, h, w), the whole face last."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, image: Tensor) -> Tensor:
        """Cuts the crops, resizes them to the image's size and encodes all."""
        side = image.shape[2:]
        regions = [
            F.interpolate(
                image[
                    :,
                    :,
                    round(top * side[0]) : round(top * side[0]) + round(share * side[0]),
                    round(left * side[1]) : round(left * side[1]) + round(share * side[1]),
                ],
                (side[0], side[1]),
                mode="bilinear",
            )
            for top, left, share in CROPS
        ]
        maps = cast(Tensor, self.encoder(torch.stack([*regions, image], 1).flatten(0, 1)))
        return maps.reshape(-1, (len(CROPS) + 1) * maps.shape[1], *maps.shape[2:])


class RegionAttention(nn.Module):
    """Weighs the regions: maps (N, (k + 1) C, h, w) -> (N, 2 C).

    F_i the average of region i's maps, μ_i = σ(FC F_i), F_m = Σ μ_i F_i / Σ μ_i, ν_i = σ(FC [F_i, F_m]), and the output
    Σ μ_i ν_i [F_i, F_m] / Σ μ_i ν_i. The public code has a softmax over the regions too, the paper has not.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Linear(channels, 1)
        self.second = nn.Linear(2 * channels, 1)

    def weights(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """The regions' features F, (N, k + 1, C), and their first weights μ, (N, k + 1)."""
        feature = maps.mean((2, 3)).reshape(-1, len(CROPS) + 1, maps.shape[1] // (len(CROPS) + 1))
        return feature, torch.sigmoid(self.first(feature)).squeeze(2)

    def forward(self, maps: Tensor) -> Tensor:
        """Combines the regions."""
        feature, first = self.weights(maps)
        common = (first[..., None] * feature).sum(1) / first.sum(1, keepdim=True)
        pairs = torch.cat([feature, common[:, None].expand_as(feature)], 2)
        both = first * torch.sigmoid(self.second(pairs)).squeeze(2)
        return (both[..., None] * pairs).sum(1) / both.sum(1, keepdim=True)


class RAN(Baseline):
    """The supervised loss plus the region-biased loss: one crop shall weigh more than the whole face by a margin.

    11,185,225 parameters on a ResNet18 with 7 classes. Source: the public code for networks and loss. Readings taken:
    the paper's form without a softmax over the regions, its margin .02, and fixed crops, of which there is no code.
    Crops around landmarks are left out, and the face weights that the code starts from cannot be had.
    """

    def __init__(
        self,
        backbone: Backbone,
        optimizer: OptimizerConfig,
        seed: int,
        classes: int = 0,
        supervised: Supervised = "released",
        region_weight: Weight = 1.0,
        margin: Annotated[float, Field(ge=0, lt=1)] = 0.02,
    ) -> None:
        """Composes the method.

        Args:
            backbone: encoder, shared by all regions; its compressor is replaced.
            optimizer: the optimizer and its learning rates.
            seed: seed of the weights.
            classes: number of expressions to tell apart; 0 for valence and arousal.
            supervised: the loss of valence and arousal, see `Baseline`.
            region_weight: weight of the region-biased loss.
            margin: m.
        """
        look_at_regions(backbone)
        super().__init__(backbone, optimizer, seed, classes, supervised)
        self.auxiliary_weight = region_weight
        self.margin = margin

    @classmethod
    def inference_regressor(cls, backbone: Backbone, section: Mapping[str, Any]) -> Regressor:
        """The linear read-out; gives the backbone its regions, see `Method.inference_regressor`."""
        return Regressor(look_at_regions(backbone), hidden=None)

    def auxiliary_loss(self, maps: Tensor, latent: Tensor, target: Tensor) -> Tensor:
        """The region-biased loss of the whole batch."""
        _, first = cast(RegionAttention, self.backbone.compressor).weights(maps)
        return region_bias_loss(self.gather(first), self.margin)


def look_at_regions(backbone: Backbone) -> int:
    """Gives a backbone the encoder and compressor of RAN; returns z's size."""
    channels = map_channels(backbone)
    backbone.encoder = RegionEncoder(backbone.encoder)
    backbone.compressor = RegionAttention(channels)
    backbone.latent_dim, backbone.regressor_hidden = 2 * channels, None
    return 2 * channels
