import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from avce_pl.backbone.breg_next import BRegNeXt, BRegUnit, bounded
from avce_pl.backbone.heads import Regressor

# literature.md, 2.4: (x, α, β) -> h, h'
REFERENCE = [
    ((0, 1, 1), 0, 0.5),
    ((1, 1, 1), 0.435210, 0.333333),
    ((-2, 1, 1), -0.675511, 0.166667),
    ((1, 2, 0.5), 0.474519, 0.190476),
    ((10, 1, 1), 1.011380, 0.009804),
]


@pytest.mark.parametrize(("outputs", "parameters"), [(2, 3_071_922), (8, 3_072_696)])
def test_parameter_counts(outputs: int, parameters: int) -> None:
    network = BRegNeXt()
    regressor = Regressor(network.latent_dim, outputs, hidden=network.regressor_hidden)
    assert sum(p.numel() for part in (network, regressor) for p in part.parameters()) == parameters


@pytest.mark.parametrize(("point", "value", "slope"), REFERENCE)
def test_the_bounded_function_and_its_derivative(point, value: float, slope: float) -> None:
    x, alpha, beta = (torch.tensor(float(number), requires_grad=True) for number in point)
    found = bounded(x, alpha, beta)
    assert found.item() == pytest.approx(value, abs=1e-6)
    found.backward()
    assert x.grad is not None
    assert x.grad.item() == pytest.approx(slope, abs=1e-6)


def test_gradients_of_the_learnt_scalars() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, generator=generator, dtype=torch.float64, requires_grad=True)
    alpha, beta = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (0.7, -1.3))
    assert torch.autograd.gradcheck(bounded, (x, alpha, beta))


def test_the_function_is_bounded() -> None:
    one = torch.tensor(1.0)
    bound = math.pi / (2 * math.sqrt(2))
    assert bound == pytest.approx(1.110721, abs=1e-6)
    assert bounded(torch.tensor(1e6), one, one).item() == pytest.approx(bound, abs=1e-5)


def test_the_shortcut_of_a_halving_unit() -> None:
    unit = BRegUnit(2, 4)
    maps = torch.arange(16.0).reshape(1, 1, 4, 4).repeat(1, 2, 1, 1)
    found = unit.shortcut(maps)
    assert found.shape == (1, 4, 2, 2)
    wanted = torch.tensor([0.555360, 0.847887, 1.012345, 1.028868])
    for channel in (1, 2):
        torch.testing.assert_close(found[0, channel].flatten(), wanted, atol=1e-6, rtol=0)
    assert not found[0, [0, 3]].any(), "zeros before and behind"


def test_a_unit_is_residual_plus_shortcut() -> None:
    unit, maps = BRegUnit(4, 4).eval(), torch.randn(2, 4, 6, 6)
    _, _, first, _, _, second = unit.residual
    scale = 1 / math.sqrt(1 + 1e-5)  # BatchNorm with its initial moments
    residual = second(F.elu(first(F.elu(maps * scale)) * scale))
    torch.testing.assert_close(unit(maps), residual + bounded(maps, unit.alpha, unit.beta))


def test_fifty_layers_and_a_quarter_of_the_side() -> None:
    network = BRegNeXt().eval()
    assert sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in network.modules()) + 1 == 50  # and the read-out
    units = [layer for layer in network.encoder if isinstance(layer, BRegUnit)]
    assert [unit.residual[2].out_channels for unit in units] == [32] * 7 + [64] * 9 + [128] * 8
    with torch.no_grad():
        for side, cells in ((64, 16), (30, 8), (network.smallest_image, 1)):
            assert network.encoder(torch.randn(1, 3, side, side)).shape == (1, 128, cells, cells)
        latent = network(torch.randn(2, 3, 16, 16))
    assert latent.shape == (2, network.latent_dim)
    assert latent.min() < 0 < latent.max()


def test_the_norm_of_z() -> None:
    latent = BRegNeXt(latent_norm="batch")(torch.randn(8, 3, 16, 16))
    torch.testing.assert_close(latent.mean(0), torch.zeros(128), atol=1e-4, rtol=0)
