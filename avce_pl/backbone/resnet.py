"""ResNet-18, -50 and -101 with the paper's compressor."""

from typing import Literal, Unpack

from torch import nn
from torchvision.models import (
    ResNet18_Weights,
    ResNet50_Weights,
    ResNet101_Weights,
    resnet18,
    resnet50,
    resnet101,
)

from avce_pl.backbone.base import Initialisation, LatentOptions, TorchvisionBackbone
from avce_pl.backbone.weights import load_weights

# (builder, weights, channels of layer4, batch size of the released code)
_DEPTHS = {
    18: (resnet18, ResNet18_Weights.IMAGENET1K_V1, 512, 128),
    50: (resnet50, ResNet50_Weights.IMAGENET1K_V2, 2048, 64),
    101: (resnet101, ResNet101_Weights.IMAGENET1K_V2, 2048, 64),
}


class ResNet(TorchvisionBackbone):
    """R18, R50, R101: ResNet up to layer4 and a compressor C -> 1000 -> 32 (545,032 parameters for R18).

    Source: supplement, section 1, Fig. 1 and Table 4; torchvision supplies the layers.

    Args:
        depth: number of layers.
        weights: see `TorchvisionBackbone`.
        initialisation: initial weights of a training from scratch.
        options: see `TorchvisionBackbone`; dropout acts on the compressor's 1000 hidden units.
    """

    def __init__(
        self,
        depth: Literal[18, 50, 101],
        weights: str | None = None,
        initialisation: Initialisation = "torch",
        **options: Unpack[LatentOptions],
    ) -> None:
        build, published, channels, batch_size = _DEPTHS[depth]
        network = build()
        del network.fc  # 1000 ImageNet classes; a file without them must fit too
        load_weights(network, weights, published)
        encoder = nn.Sequential(*list(network.children())[:-1])  # all but the average pooling
        features = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000)]
        super().__init__(encoder, features, 1000, initialisation, **options)
        self.batch_size = batch_size
