import torch
from torch import nn

from avce_pl.backbone.heads import Regressor
from avce_pl.backbone.vgg16 import VGG16


def test_parameter_counts() -> None:
    with torch.device("meta"):
        vgg16 = VGG16()
        regressor = Regressor(vgg16.latent_dim, hidden=vgg16.regressor_hidden)
    assert sum(p.numel() for p in vgg16.encoder.parameters()) == 14_714_688
    assert sum(p.numel() for network in (vgg16, regressor) for p in network.parameters()) == 134_268_738


def test_the_latent_is_the_second_hidden_layer_and_keeps_all_of_it() -> None:
    with torch.device("meta"):
        kinds = [type(layer) for layer in VGG16(latent_norm="batch").compressor]
    hidden = [nn.Linear, nn.ReLU, nn.Dropout, nn.Linear]
    assert kinds == [nn.AdaptiveAvgPool2d, nn.Flatten, *hidden, nn.BatchNorm1d, nn.ReLU]
