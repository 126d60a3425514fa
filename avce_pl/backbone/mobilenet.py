"""MobileNetV2 with a compressor like AL's; ours, for trainings that start from ImageNet."""

from typing import Unpack

from torch import nn
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

from avce_pl.backbone.base import Initialisation, LatentOptions, TorchvisionBackbone
from avce_pl.backbone.weights import load_weights


class MobileNetV2(TorchvisionBackbone):
    """MNV2: MobileNetV2's features (2,223,872 parameters) and a compressor 1280 -> 32 (40,992 parameters).

    Not in the paper. Sandler et al., "MobileNetV2: Inverted residuals and linear bottlenecks", 2018; torchvision
    supplies the layers. The compressor is average pooling, dropout, FC, ReLU.

    Args:
        weights: see `TorchvisionBackbone`.
        initialisation: initial weights of a training from scratch.
        options: see `TorchvisionBackbone`.
    """

    batch_size = 128

    def __init__(
        self,
        weights: str | None = None,
        initialisation: Initialisation = "torch",
        **options: Unpack[LatentOptions],
    ) -> None:
        encoder = mobilenet_v2().features
        load_weights(encoder, weights, MobileNet_V2_Weights.IMAGENET1K_V1, prefix="features.")
        super().__init__(encoder, [nn.AdaptiveAvgPool2d(1), nn.Flatten()], 1280, initialisation, **options)
