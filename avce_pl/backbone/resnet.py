"""ResNet-18, -50 and -101 with the paper's compressor."""

from typing import Annotated, Literal

from pydantic import Field
from torch import nn
from torchvision.models import (
    ResNet18_Weights,
    ResNet50_Weights,
    ResNet101_Weights,
    resnet18,
    resnet50,
    resnet101,
)

from avce_pl.backbone.base import Backbone, Dropout, Initialisation, LatentNorm, latent_layers, load_weights

# (builder, weights, channels of layer4, batch size of the released code)
_DEPTHS = {
    18: (resnet18, ResNet18_Weights.IMAGENET1K_V1, 512, 128),
    50: (resnet50, ResNet50_Weights.IMAGENET1K_V2, 2048, 64),
    101: (resnet101, ResNet101_Weights.IMAGENET1K_V2, 2048, 64),
}


class ResNet(Backbone):
    """R18, R50, R101: ResNet up to layer4 and a compressor C -> 1000 -> 32 (545,032 parameters for R18).

    Source: supplement, section 1, Fig. 1 and Table 4; torchvision supplies the layers.
    """

    def __init__(
        self,
        depth: Literal[18, 50, 101],
        latent_dim: Annotated[int, Field(gt=0)] = 32,
        dropout: Dropout = 0.5,
        weights: str | None = None,
        latent_norm: LatentNorm = None,
        initialisation: Initialisation = "torch",
    ) -> None:
        """Builds the network.

        Args:
            depth: number of layers.
            latent_dim: size of z.
            dropout: share of the compressor's hidden units that training drops.
            weights: ``null`` for training from scratch, ``imagenet``, or the path of a state dict.
            latent_norm: whether z is normalised over the batch before its ReLU, see `latent_layers`.
            initialisation: initial weights of a training from scratch.
        """
        super().__init__()
        build, published, channels, self.batch_size = _DEPTHS[depth]
        self.latent_dim = latent_dim
        self.initialisation = initialisation
        network = build()
        del network.fc  # 1000 ImageNet classes; a file without them must fit too
        load_weights(network, weights, published)
        self.encoder = nn.Sequential(*list(network.children())[:-1])  # all but the average pooling
        self.compressor = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(channels, 1000),
            nn.Dropout(dropout),
            *latent_layers(1000, latent_dim, latent_norm),
        )
