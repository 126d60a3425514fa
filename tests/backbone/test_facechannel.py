import pytest
import torch
from torch import nn

from avce_pl import load
from avce_pl.backbone.facechannel import FaceChannel, Grey, ShuntingLayer, shunt
from avce_pl.backbone.heads import Regressor
from avce_pl.inference.export import export_onnx


def test_parameter_count() -> None:
    network = FaceChannel()
    regressor = Regressor(network.latent_dim, hidden=network.regressor_hidden)
    assert sum(p.numel() for part in (network, regressor) for p in part.parameters()) == 3_589_530


def test_ten_convolutions_and_four_halvings() -> None:
    network = FaceChannel().eval()
    convolutions = [m for m in network.encoder.modules() if isinstance(m, nn.Conv2d)]
    widths = [64, 64, 128, 128, 128, 128, 128, 256, 256, 256, 256]  # the tenth is two side by side
    assert [convolution.out_channels for convolution in convolutions] == widths
    with torch.no_grad():
        assert network.encoder(torch.randn(2, 3, 64, 64)).shape == (2, 256, 4, 4)
        assert network(torch.randn(2, 3, 96, 96)).shape == (2, 200)


def test_shunting() -> None:
    found = shunt(torch.tensor([0.0, 1.0, 3.0]), torch.tensor([2.0, 0.0, 1.0]), 0.5)
    assert found.tolist() == [0, 2, 2]
    layer, maps = ShuntingLayer(3), torch.randn(2, 3, 5, 5)
    excitation, inhibition = layer.excitation(maps).clamp(min=0), layer.inhibition(maps).clamp(min=0)
    torch.testing.assert_close(layer(maps), excitation / (0.5 + inhibition))


def test_grey_is_that_of_the_image_before_its_normalisation() -> None:
    grey = Grey()
    assert grey.weight.flatten().tolist() == pytest.approx([0.068471, 0.131488, 0.02565], abs=1e-6)
    assert grey.bias.item() == pytest.approx(0.458971, abs=1e-6)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    red_then_white = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    found = grey(((red_then_white - mean) / std)[:, :, None, None])
    torch.testing.assert_close(found.flatten(), torch.tensor([0.299, 1.0]))
    assert not list(grey.parameters()), "the conversion does not learn"


def test_initial_weights_are_glorots() -> None:
    network = FaceChannel()
    limit = (6 / (4096 + 200)) ** 0.5
    weight = network.compressor[3].weight.detach()
    assert weight.abs().max() <= limit
    assert weight.std() == pytest.approx(limit / 3**0.5, rel=0.01)
    assert not network.compressor[3].bias.detach().any()


def test_a_run_is_exported(run, tmp_path) -> None:
    folder = run("backbone=facechannel", "method=baseline", "dataset.image_size=24", "trainer.max_epochs=1")
    assert export_onnx(folder, tmp_path / "model.onnx") < 1e-5
    side = load(folder).specification.resize_size
    faces = list(torch.randint(256, (3, side, side, 3), dtype=torch.uint8).numpy())
    found = load(tmp_path / "model.onnx").predict_crops(faces)
    assert found == pytest.approx(load(folder).predict_crops(faces), abs=1e-4)
