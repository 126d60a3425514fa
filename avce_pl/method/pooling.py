"""Methods that read a backbone's maps themselves instead of through its compressor."""

import torch
from torch import nn

from avce_pl.backbone.base import Backbone


def map_channels(backbone: Backbone) -> int:
    """The number C of the channels of an encoder's maps (N, C, h, w)."""
    encoder = backbone.encoder
    modes = {part: part.training for part in encoder.modules()}
    parameter = next(encoder.parameters())
    side = max(64, backbone.smallest_image)
    image = torch.zeros(1, 3, side, side, device=parameter.device, dtype=parameter.dtype)
    with torch.no_grad():
        channels = encoder.eval()(image).shape[1]
    for part, mode in modes.items():
        part.training = mode
    return int(channels)


def pool_maps(backbone: Backbone) -> int:
    """Replaces a backbone's compressor by global average pooling, before a linear read-out; returns z's size."""
    channels = map_channels(backbone)
    backbone.compressor = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    backbone.latent_dim, backbone.regressor_hidden = channels, None
    return channels
