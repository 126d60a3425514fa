"""MobileNetV2 with a compressor like AL's; ours, for trainings that start from ImageNet."""

from typing import Annotated

from pydantic import Field
from torch import nn
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

from avce_pl.backbone.base import Backbone, Dropout, Initialisation, LatentNorm, latent_layers, load_weights


class MobileNetV2(Backbone):
    """MNV2: MobileNetV2's features (2,223,872 parameters) and a compressor 1280 -> 32 (40,992 parameters).

    Not in the paper. Sandler et al., "MobileNetV2: Inverted residuals and linear bottlenecks", 2018; torchvision
    supplies the layers. The compressor is average pooling, dropout, FC, ReLU.
    """

    batch_size = 128

    def __init__(
        self,
        latent_dim: Annotated[int, Field(gt=0)] = 32,
        dropout: Dropout = 0.5,
        weights: str | None = None,
        latent_norm: LatentNorm = None,
        initialisation: Initialisation = "torch",
    ) -> None:
        """Builds the network.

        Args:
            latent_dim: size of z.
            dropout: share of the compressor's inputs that training drops.
            weights: ``null`` for training from scratch, ``imagenet``, or the path of a state dict.
            latent_norm: whether z is normalised over the batch before its ReLU, see `latent_layers`.
            initialisation: initial weights of a training from scratch.
        """
        super().__init__()
        self.latent_dim = latent_dim
        self.initialisation = initialisation
        self.encoder = mobilenet_v2().features
        self.compressor = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), *latent_layers(1280, latent_dim, latent_norm)
        )
        load_weights(self.encoder, weights, MobileNet_V2_Weights.IMAGENET1K_V1, prefix="features.")
