"""FaceChannel: a light network on grey faces with an inhibitory last layer."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avce_pl.backbone.base import Backbone, Dropout, LatentNorm, latent_layers

# Rec. 601 weights of red, green and blue, and the mean and deviation that the suite normalises images with
_GREY = (0.299, 0.587, 0.114)
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


class FaceChannel(Backbone):
    """FaceChannel: ten convolutions, the last of them shunted, and FC 200; 3,589,530 parameters with two outputs.

    Barros, Churamani and Sciutti, "The FaceChannel: A fast and furious deep neural network for facial expression
    recognition", SN Computer Science 2020. Grey images; convolutions 3x3 with BatchNorm and ReLU of 64, 64; 128, 128;
    128, 128, 128; 256, 256 and a `ShuntingLayer` of 256, each group followed by 2x2 max-pooling and dropout; FC 200,
    ReLU, which is the latent; a linear read-out. Biases everywhere, Glorot's uniform initial weights.

    Readings taken: the grey conversion is a part of the encoder; maps are averaged to 4x4 cells, which is what they
    have at the published 64 px, so that any side fits; the read-out is linear as in all rows of the tables, not a tanh.
    The paper learns the shunting decay, its code has .5; here .5. The authors' own valence and arousal script trains
    only FC 200 and the outputs of a network trained on FER+; its weights are not used here, all layers train.

    Args:
        dropout: share of each group's outputs that training drops.
        latent_norm: whether z is normalised over the batch before its ReLU, see `avce_pl.backbone.base.latent_layers`.
    """

    batch_size = 128
    smallest_image = 16
    latent_dim = 200
    regressor_hidden = None

    def __init__(self, dropout: Dropout = 0.25, latent_norm: LatentNorm = None) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            Grey(),
            *_convolution(1, 64),
            *_convolution(64, 64),
            nn.MaxPool2d(2),
            nn.Dropout(dropout),
            *_convolution(64, 128),
            *_convolution(128, 128),
            nn.MaxPool2d(2),
            nn.Dropout(dropout),
            *_convolution(128, 128),
            *_convolution(128, 128),
            *_convolution(128, 128),
            nn.MaxPool2d(2),
            nn.Dropout(dropout),
            *_convolution(128, 256),
            *_convolution(256, 256),
            ShuntingLayer(256),
            nn.MaxPool2d(2),
        )
        self.compressor = nn.Sequential(
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Dropout(dropout),
            *latent_layers(256 * 4 * 4, self.latent_dim, latent_norm),
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)


class Grey(nn.Module):
    """Normalised RGB (N, 3, H, W) -> grey values in [0, 1], (N, 1, H, W), by fixed weights (Rec. 601)."""

    weight: Tensor
    bias: Tensor

    def __init__(self) -> None:
        super().__init__()
        weight = torch.tensor([share * std for share, std in zip(_GREY, _STD, strict=True)])
        self.register_buffer("weight", weight.reshape(1, 3, 1, 1))
        self.register_buffer("bias", torch.tensor([sum(s * mean for s, mean in zip(_GREY, _MEAN, strict=True))]))

    def forward(self, image: Tensor) -> Tensor:
        """Converts."""
        return F.conv2d(image, self.weight, self.bias)


class ShuntingLayer(nn.Module):
    """Shunting inhibition: e / (.5 + i) of two parallel 3x3 convolutions with ReLU, (N, C, H, W) -> (N, C, H, W).

    Fregnac et al., "Shunting inhibition, a silent step in visual cortical computation", 2003: the
    more i signals, the less of e passes. Without inhibition 2e does.
    """

    decay = 0.5

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.excitation = nn.Conv2d(channels, channels, 3, padding=1)
        self.inhibition = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        """Convolves and inhibits."""
        return shunt(self.excitation(maps).relu(), self.inhibition(maps).relu(), self.decay)


def shunt(excitation: Tensor, inhibition: Tensor, decay: float) -> Tensor:
    """Excitation divided by decay plus inhibition, elementwise; all non-negative, decay positive.

    >>> shunt(torch.tensor([0.0, 1.0, 3.0]), torch.tensor([2.0, 0.0, 1.0]), 0.5)
    tensor([0., 2., 2.])
    """
    return excitation / (decay + inhibition)


def _convolution(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
