"""AlexNet: the paper's tuned version AL, and the full network of its Baseline rows."""

from typing import Annotated

from pydantic import Field
from torch import nn
from torchvision.models import AlexNet_Weights, alexnet

from avce_pl.backbone.base import Backbone, Dropout, Initialisation, LatentNorm, latent_layers, load_weights


class AlexNet(Backbone):
    """AL: AlexNet's features (2,469,696 parameters) and a compressor 9216 -> 32 (294,944 parameters).

    Source: supplement, section 1 and Fig. 1 ("about 294k"); torchvision supplies the layers.
    """

    batch_size = 256
    smallest_image = 63

    def __init__(
        self,
        latent_dim: Annotated[int, Field(gt=0)] = 32,
        dropout: Dropout = 0.5,
        weights: str | None = None,
        latent_norm: LatentNorm = None,
        initialisation: Initialisation = "data",
    ) -> None:
        """Builds the network.

        Args:
            latent_dim: size of z.
            dropout: share of the compressor's inputs that training drops.
            weights: ``null`` for training from scratch, ``imagenet``, or the path of a state dict.
            latent_norm: whether z is normalised over the batch before its ReLU, see `latent_layers`.
            initialisation: initial weights of a training from scratch; with torch's AlexNet stays on a plateau.
        """
        super().__init__()
        self.latent_dim = latent_dim
        self.initialisation = initialisation
        self.encoder = alexnet().features
        self.compressor = nn.Sequential(
            nn.AdaptiveAvgPool2d(6),
            nn.Flatten(),
            nn.Dropout(dropout),
            *latent_layers(256 * 6 * 6, latent_dim, latent_norm),
        )
        load_weights(self.encoder, weights, AlexNet_Weights.IMAGENET1K_V1, prefix="features.")


class FullAlexNet(Backbone):
    """The full AlexNet, 57,012,034 parameters with two outputs: the tables' "Baseline" (61M with 1000).

    Its latent is the 4096-d layer before the read-out, and its regressor the linear read-out itself.
    """

    batch_size = 256
    smallest_image = 63
    latent_dim = 4096
    regressor_hidden = None

    def __init__(
        self,
        dropout: Dropout = 0.5,
        weights: str | None = None,
        latent_norm: LatentNorm = None,
        initialisation: Initialisation = "data",
    ) -> None:
        """Builds the network.

        Args:
            dropout: share of the inputs of both hidden layers that training drops.
            weights: ``null`` for training from scratch, ``imagenet``, or the path of a state dict.
            latent_norm: whether z is normalised over the batch before its ReLU, see `latent_layers`.
            initialisation: initial weights of a training from scratch; with torch's AlexNet stays on a plateau.
        """
        super().__init__()
        self.initialisation = initialisation
        network = alexnet(dropout=dropout)
        load_weights(network, weights, AlexNet_Weights.IMAGENET1K_V1)
        self.encoder = network.features
        self.compressor = nn.Sequential(network.avgpool, nn.Flatten(), *list(network.classifier)[:-1])
        if latent_norm == "batch":
            self.compressor.insert(len(self.compressor) - 1, nn.BatchNorm1d(self.latent_dim, affine=False))
