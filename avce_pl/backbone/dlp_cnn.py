"""DLP-CNN: the network that Li et al. train with the locality-preserving loss."""

from typing import Annotated

from pydantic import Field
from torch import nn

from avce_pl.backbone.base import Backbone, Initialisation, LatentNorm, latent_layers


class DLPCNN(Backbone):
    """DLP-CNN: six 3x3 convolutions and FC 2000, 33,984,743 parameters with seven outputs.

    Li, Deng and Du, "Reliable crowdsourcing and deep locality-preserving learning for expression recognition in the
    wild", CVPR 2017; layers after a public re-implementation, as the papers leave them open: convolutions with ReLU of
    64; 96; 128, 128; 256, 256 with 2x2 max-pooling between the groups; FC 2000, ReLU, which is the latent; a linear
    read-out. There is neither BatchNorm nor dropout.

    Readings taken: maps are averaged to `map_size` x `map_size` cells before FC 2000, so that any side fits. 8 are the
    maps at 64 px; at the paper's crop of 90 px they are 11x11 (63,168,743 parameters), at 100 px 12x12 (74,944,743).

    Args:
        map_size: cells a side that FC 2000 sees.
        latent_norm: whether z is normalised over the batch before its ReLU, see `avce_pl.backbone.base.latent_layers`.
        initialisation: initial weights of a training from scratch; procedural faces are learnt faster from ``torch``.
    """

    batch_size = 64
    smallest_image = 8
    latent_dim = 2000
    regressor_hidden = None

    def __init__(
        self,
        map_size: Annotated[int, Field(gt=0)] = 8,
        latent_norm: LatentNorm = None,
        initialisation: Initialisation = "torch",
    ) -> None:
        super().__init__()
        self.initialisation = initialisation
        self.encoder = nn.Sequential(
            *_convolution(3, 64),
            nn.MaxPool2d(2),
            *_convolution(64, 96),
            nn.MaxPool2d(2),
            *_convolution(96, 128),
            *_convolution(128, 128),
            nn.MaxPool2d(2),
            *_convolution(128, 256),
            *_convolution(256, 256),
        )
        self.compressor = nn.Sequential(
            nn.AdaptiveAvgPool2d(map_size),
            nn.Flatten(),
            *latent_layers(256 * map_size**2, self.latent_dim, latent_norm),
        )


def _convolution(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
