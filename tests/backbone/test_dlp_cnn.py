import pytest
import torch
from torch import nn

from avce_pl.backbone.dlp_cnn import DLPCNN
from avce_pl.backbone.heads import Regressor


@pytest.mark.parametrize(
    ("map_size", "side", "parameters"), [(8, 64, 33_984_743), (11, 90, 63_168_743), (12, 100, 74_944_743)]
)
def test_parameter_counts_and_maps(map_size: int, side: int, parameters: int) -> None:
    with torch.device("meta"):
        network = DLPCNN(map_size)
        regressor = Regressor(network.latent_dim, 7, hidden=network.regressor_hidden)
        maps = network.encoder(torch.empty(1, 3, side, side))
    assert sum(p.numel() for part in (network, regressor) for p in part.parameters()) == parameters
    assert maps.shape == (1, 256, map_size, map_size), "the adaptive pooling changes nothing at this side"


def test_any_side_fits() -> None:
    network = DLPCNN().eval()
    with torch.no_grad():
        for side in (network.smallest_image, 96):
            assert network(torch.randn(2, 3, side, side)).shape == (2, 2000)


def test_it_is_plain() -> None:
    layers = list(DLPCNN().modules())
    assert not any(isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) for layer in layers)
    assert [layer.out_channels for layer in layers if isinstance(layer, nn.Conv2d)] == [64, 96, 128, 128, 256, 256]
