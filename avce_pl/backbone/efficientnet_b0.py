"""EfficientNet-B0 with a compressor like AL's; ours, for trainings that start from ImageNet."""

from typing import Unpack

from torch import nn
from torchvision.models import EfficientNet_B0_Weights, efficientnet_b0

from avce_pl.backbone.base import LatentOptions, TorchvisionBackbone
from avce_pl.backbone.weights import load_weights


class EfficientNetB0(TorchvisionBackbone):
    """EfficientNet-B0's features (4,007,548 parameters) and a compressor 1280 -> 32 (40,992 parameters).

    Tan and Le, "EfficientNet: Rethinking model scaling for convolutional neural networks", ICML 2019; torchvision
    supplies the layers. The compressor is average pooling, dropout, FC, ReLU. HSEmotion (Savchenko, 2021) starts this
    network from face identities (VGGFace2) and trains with sharpness-aware steps; those weights are not used here. No
    stochastic depth: presets switch regularisation by `dropout` alone.

    Args:
        weights: see `TorchvisionBackbone`.
        options: see `TorchvisionBackbone`.
    """

    batch_size = 128

    def __init__(
        self,
        weights: str | None = None,
        **options: Unpack[LatentOptions],
    ) -> None:
        encoder = efficientnet_b0(stochastic_depth_prob=0.0).features
        load_weights(encoder, weights, EfficientNet_B0_Weights.IMAGENET1K_V1, prefix="features.")
        super().__init__(encoder, [nn.AdaptiveAvgPool2d(1), nn.Flatten()], 1280, "torch", **options)
