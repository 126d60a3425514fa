import pytest
import torch
from torch import nn

from avce_pl.backbone.alexnet import AlexNet, FullAlexNet
from avce_pl.backbone.base import Backbone
from avce_pl.backbone.heads import DiscriminativeHead, ProjectionHead, Regressor
from avce_pl.backbone.initialisation import initialise_from_data
from avce_pl.backbone.mobilenet import MobileNetV2
from avce_pl.backbone.resnet import ResNet
from avce_pl.errors import AvceError


def count(*networks: nn.Module) -> int:
    return sum(p.numel() for network in networks for p in network.parameters())


# method.md section 1 (the released code's counts; the supplement says "about 294k", "about 545k", "10k or less")
def test_parameter_counts_of_al() -> None:
    al = AlexNet()
    assert count(al.encoder) == 2_469_696
    assert count(al.compressor) == 294_944
    assert count(al, Regressor(32, batch_norm=False)) == 2_773_602
    heads = Regressor(32, batch_norm=False), ProjectionHead(32, batch_norm=False), DiscriminativeHead(32, False)
    assert count(al, *heads) == 2_785_196


def test_parameter_counts_of_r18() -> None:
    r18 = ResNet(18)
    assert count(r18.encoder) == 11_176_512
    assert count(r18.compressor) == 545_032
    assert count(r18, Regressor(32, batch_norm=False)) == 11_730_506


def test_parameter_counts_of_mnv2() -> None:
    mnv2 = MobileNetV2()
    assert count(mnv2.encoder) == 2_223_872  # contrast.md section 3
    assert count(mnv2.compressor) == 1280 * 32 + 32


def test_parameter_count_of_the_full_alexnet() -> None:
    full = FullAlexNet()
    assert count(full, Regressor(full.latent_dim, hidden=full.regressor_hidden)) == 57_012_034
    assert count(full, Regressor(full.latent_dim, outputs=1000, hidden=None)) == 61_100_840


@pytest.mark.parametrize(
    ("head", "with_norm", "without"),
    [(Regressor, 9_474, 8_962), (ProjectionHead, 9_474, 8_962), (DiscriminativeHead, 2_760, 2_632)],
)
def test_parameter_counts_of_the_heads(head: type[nn.Module], with_norm: int, without: int) -> None:
    assert count(head(32, batch_norm=True)) == with_norm <= 10_000
    assert count(head(32, batch_norm=False)) == without


@pytest.mark.parametrize(
    "backbone", [AlexNet(), FullAlexNet(), ResNet(18), ResNet(50), ResNet(101, latent_dim=16), MobileNetV2()]
)
def test_latent_is_non_negative_and_of_its_size(backbone: Backbone) -> None:
    latent = backbone.eval()(torch.randn(2, 3, 64, 64))
    assert latent.shape == (2, backbone.latent_dim)
    assert latent.min() >= 0


@pytest.mark.parametrize("build", [AlexNet, FullAlexNet, lambda **norm: ResNet(18, **norm), MobileNetV2])
def test_the_norm_of_z_costs_no_parameters_and_keeps_its_scale(build) -> None:
    normed, plain = build(latent_norm="batch", dropout=0), build(dropout=0)
    assert count(normed) == count(plain)
    *before, relu = normed.compressor
    assert isinstance(relu, nn.ReLU)
    far = [layer for layer in before if isinstance(layer, nn.Linear)][-1]
    with torch.no_grad():  # a common shift, which no loss of the paper's opposes, and a large scale
        far.weight.mul_(1e3)
        far.bias.fill_(1e5)
    latent = normed(torch.randn(16, 3, 64, 64))
    assert latent.max() <= 15**0.5, "no number of a batch of 16 is further from its mean"
    centred = nn.Sequential(*before)(normed.encoder(torch.randn(16, 3, 64, 64)))
    torch.testing.assert_close(centred.mean(0), torch.zeros(normed.latent_dim), atol=0.1, rtol=0)
    assert ((latent > 0).any(0)).all(), "no latent is dead"


def test_projection_head_is_bounded() -> None:
    head = ProjectionHead(32)
    with torch.no_grad():
        head.layers[-1].weight.mul_(1e3)
    projected = head(torch.randn(64, 32))
    assert 0.49 < projected.abs().max() <= 0.5


def test_initialisation_gives_every_layer_its_mean_and_unit_variance() -> None:
    backbone = AlexNet()
    images = torch.randn(64, 3, 64, 64)
    initialise_from_data(backbone, images, seed=0)
    outputs: list[torch.Tensor] = []
    for layer in backbone.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(lambda _m, _i, output: outputs.append(output.detach().clone()))
    backbone.eval()(images)
    assert len(outputs) == 6
    for output, mean in zip(outputs, (2, 2, 2, 2, 2, 0), strict=True):
        axes = [axis for axis in range(output.ndim) if axis != 1]
        torch.testing.assert_close(output.mean(axes), torch.full((output.shape[1],), float(mean)), atol=1e-3, rtol=0)
        torch.testing.assert_close(output.std(axes, correction=0), torch.ones(output.shape[1]), atol=1e-3, rtol=0)


def test_initialisation_depends_on_seed_and_images_alone() -> None:
    images = torch.randn(8, 3, 64, 64)
    first, second, other = AlexNet(), AlexNet(), AlexNet()
    initialise_from_data(first, images, seed=3)
    initialise_from_data(second, images, seed=3)
    initialise_from_data(other, images, seed=4)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.compressor[3].weight, other.compressor[3].weight)
    assert first.training


def test_initialisation_leaves_layers_before_batch_norm_alone() -> None:
    backbone = ResNet(18)
    before = {name: p.clone() for name, p in backbone.named_parameters()}
    initialise_from_data(backbone, torch.randn(4, 3, 64, 64), seed=0)
    changed = {name for name, p in backbone.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {"compressor.2.weight", "compressor.2.bias", "compressor.4.weight", "compressor.4.bias"}


def test_weights_from_a_file(tmp_path) -> None:
    source = AlexNet()
    torch.save({f"features.{k}": v for k, v in source.encoder.state_dict().items()}, tmp_path / "published.pth")
    torch.save(source.encoder.state_dict(), tmp_path / "encoder.pth")
    for name in ("published.pth", "encoder.pth"):
        loaded = AlexNet(weights=str(tmp_path / name))
        assert torch.equal(loaded.encoder[0].weight, source.encoder[0].weight)


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


def test_wrong_weights_are_refused_with_a_sentence(tmp_path, capsys) -> None:
    with pytest.raises(AvceError, match="does not exist"):
        AlexNet(weights=str(tmp_path / "nothing.pth"))
    (tmp_path / "text.pth").write_text("no tensors")
    with pytest.raises(AvceError, match="cannot be read as plain tensors"):
        AlexNet(weights=str(tmp_path / "text.pth"))
    torch.save({"weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(AvceError, match="was not executed"):
        AlexNet(weights=str(tmp_path / "evil.pth"))
    assert "executed" not in capsys.readouterr().out
    torch.save(AlexNet().encoder.state_dict(), tmp_path / "al.pth")
    with pytest.raises(AvceError, match="tensors are not in it"):
        ResNet(18, weights=str(tmp_path / "al.pth"))
    state = AlexNet().encoder.state_dict()
    torch.save(state | {"0.weight": torch.zeros(1)}, tmp_path / "shape.pth")
    with pytest.raises(AvceError, match=r"0\.weight has shape \(1,\) there"):
        AlexNet(weights=str(tmp_path / "shape.pth"))


def test_imagenet_weights_without_a_network_name_the_file(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens there
    with pytest.raises(AvceError, match=r"alexnet-owt-7be5be79\.pth could not be downloaded.*put it into"):
        AlexNet(weights="imagenet")
