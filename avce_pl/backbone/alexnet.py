"""AlexNet: the paper's tuned version AL, and the full network of its Baseline rows."""

from typing import Unpack

from torch import nn
from torchvision.models import AlexNet_Weights, alexnet

from avce_pl.backbone.base import Backbone, Dropout, Initialisation, LatentNorm, LatentOptions, TorchvisionBackbone
from avce_pl.backbone.weights import load_weights


class AlexNet(TorchvisionBackbone):
    """AL: AlexNet's features (2,469,696 parameters) and a compressor 9216 -> 32 (294,944 parameters).

    Source: supplement, section 1 and Fig. 1 ("about 294k"); torchvision supplies the layers.

    Args:
        weights: see `TorchvisionBackbone`.
        initialisation: initial weights of a training from scratch; with ``torch`` AlexNet stays on a plateau.
        options: see `TorchvisionBackbone`.
    """

    batch_size = 256
    smallest_image = 63

    def __init__(
        self,
        weights: str | None = None,
        initialisation: Initialisation = "data",
        **options: Unpack[LatentOptions],
    ) -> None:
        encoder = alexnet().features
        load_weights(encoder, weights, AlexNet_Weights.IMAGENET1K_V1, prefix="features.")
        super().__init__(encoder, [nn.AdaptiveAvgPool2d(6), nn.Flatten()], 256 * 6 * 6, initialisation, **options)


class FullAlexNet(Backbone):
    """The full AlexNet, 57,012,034 parameters with two outputs: the tables' "Baseline" (61M with 1000).

    Its latent is the 4096-d layer before the read-out, and its regressor the linear read-out itself.

    Args:
        dropout: share of the inputs of both hidden layers that training drops.
        weights: see `TorchvisionBackbone`.
        latent_norm: whether z is normalised over the batch before its ReLU, see `latent_layers`.
        initialisation: as in `AlexNet`.
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
        super().__init__()
        self.initialisation = initialisation
        network = alexnet(dropout=dropout)
        load_weights(network, weights, AlexNet_Weights.IMAGENET1K_V1)
        self.encoder = network.features
        self.compressor = nn.Sequential(network.avgpool, nn.Flatten(), *list(network.classifier)[:-1])
        if latent_norm == "batch":
            self.compressor.insert(len(self.compressor) - 1, nn.BatchNorm1d(self.latent_dim, affine=False))
