"""MaxViT-T, convolutions and attention within windows and grids, as CAGE trains it."""

from typing import Unpack

from torch import nn
from torchvision.models import MaxVit, MaxVit_T_Weights

from avce_pl.backbone.base import LatentOptions, TorchvisionBackbone
from avce_pl.backbone.weights import load_weights
from avce_pl.errors import AvceError

_STRIDE = 32  # pixels of the image in a cell of the last maps
_PUBLISHED_PARTITION = 7


class MaxViTT(TorchvisionBackbone):
    """MaxViT-T up to its hidden layer and a compressor 512 -> 32: 30,424,040 parameters at 224 px, without regressor.

    Tu et al., "MaxViT: Multi-axis vision transformer", ECCV 2022; torchvision supplies the layers. Wagner et al.,
    "CAGE: Circumplex affect guided expression inference", CVPR workshops 2024, put dropout and the read-out behind
    average pooling, LayerNorm, FC 512 and tanh; here dropout, FC 512 -> 32 and ReLU follow, as in
    `TorchvisionBackbone`. No stochastic depth: presets switch regularisation by `dropout` alone.

    Attention works within windows, and grids, of as many cells a side as the maps of every stage can be parted into: 7,
    the published number, at multiples of 224 px, and otherwise the cells of the last maps, `image_size` / 32. Weights
    are tied to that number, so a network of 96 px does not fit one of 224 px.

    Args:
        image_size: side of the images in pixels, a multiple of 32.
        weights: see `TorchvisionBackbone`; ``imagenet`` fits multiples of 224 px.
        options: see `TorchvisionBackbone`.

    Raises:
        AvceError: `image_size` cannot be parted, or not as the ImageNet weights need it.
    """

    batch_size = 128
    smallest_image = _STRIDE

    def __init__(
        self,
        image_size: int,
        weights: str | None = None,
        **options: Unpack[LatentOptions],
    ) -> None:
        cells, rest = divmod(image_size, _STRIDE)
        if rest or not cells:
            lower = max(cells, 1) * _STRIDE
            raise AvceError(
                f"dataset.image_size={image_size} does not fit backbone=maxvit_t, whose attention needs a multiple of "
                f"{_STRIDE} pixels. Choose {lower} or {lower + _STRIDE}."
            )
        partition = cells if cells % _PUBLISHED_PARTITION else _PUBLISHED_PARTITION
        if weights == "imagenet" and partition != _PUBLISHED_PARTITION:
            side = _STRIDE * _PUBLISHED_PARTITION
            raise AvceError(
                f"backbone.weights=imagenet: the weights of MaxViT are those of {side} px and do not fit "
                f"dataset.image_size={image_size}. Set dataset.image_size={side}, or start from scratch."
            )
        network = MaxVit(  # the builder maxvit_t has no other partition than 7
            input_size=(image_size, image_size),
            stem_channels=64,
            partition_size=partition,
            block_channels=[64, 128, 256, 512],
            block_layers=[2, 2, 5, 2],
            head_dim=32,
            stochastic_depth_prob=0.0,
        )
        network.classifier = network.classifier[:-1]  # without the 1000 ImageNet classes
        load_weights(network, weights, MaxVit_T_Weights.IMAGENET1K_V1)
        encoder = nn.Sequential(network.stem, *network.blocks)
        super().__init__(encoder, list(network.classifier), 512, "torch", **options)
