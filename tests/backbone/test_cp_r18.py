import pytest
import torch
import torch.nn.functional as F
from torch import nn

from avce_pl.backbone.cp_r18 import CPConv2d, CPResNet18, cp_rank
from avce_pl.backbone.heads import Regressor


def test_parameter_count() -> None:
    network = CPResNet18()
    regressor = Regressor(network.latent_dim, hidden=network.regressor_hidden)
    assert sum(p.numel() for part in (network, regressor) for p in part.parameters()) == 11_226_445


def test_no_dense_3x3_convolution_is_left() -> None:
    layers = list(CPResNet18().modules())
    dense = {layer.kernel_size for layer in layers if isinstance(layer, nn.Conv2d) and layer.groups == 1}
    assert dense == {(7, 7), (1, 1)}
    assert sum(isinstance(layer, CPConv2d) for layer in layers) == 16


@pytest.mark.parametrize("stride", [1, 2])
def test_without_psi_it_is_a_dense_convolution(stride: int) -> None:
    layer = CPConv2d(4, 6, stride).double()
    nn.init.normal_(layer.weight)
    layer.psi = nn.Identity()
    kernel = torch.einsum(
        "r,tr,rc,ry,rx->tcyx",
        layer.weight,
        layer.output.weight[:, :, 0, 0],
        layer.input.weight[:, :, 0, 0],
        layer.vertical.weight[:, 0, :, 0],
        layer.horizontal.weight[:, 0, 0, :],
    )
    maps = torch.randn(2, 4, 9, 8, dtype=torch.float64)
    torch.testing.assert_close(layer(maps), F.conv2d(maps, kernel, stride=stride, padding=1))


def test_psi_is_a_batch_norm_and_a_relu_before_the_spatial_factors() -> None:
    layer = CPConv2d(4, 6)
    seen: list[torch.Tensor] = []
    layer.vertical.register_forward_pre_hook(lambda _layer, inputs: seen.append(inputs[0]))
    layer(100 + 50 * torch.randn(64, 4, 5, 5))
    (between,) = seen
    assert between.min() == 0
    # of a standard normal number, the positive part has mean 1 / sqrt(2π)
    torch.testing.assert_close(between.mean(), torch.tensor(0.399), atol=0.02, rtol=0)


def test_rank() -> None:
    assert cp_rank(64, 64) == 275
    assert cp_rank(256, 512) == 1524
