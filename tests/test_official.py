"""The authors' weights, against the released forward pass written down again from its description."""

import pickle
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models import alexnet, resnet18

from avce_pl import load
from avce_pl.errors import AvceError
from avce_pl.official import import_official
from avce_pl.predict.run_folder import open_run
from avce_pl.report.model_card import write_model_card
from avce_pl.transfer import source_digest

State = dict[str, Tensor]


def linear(state: State, name: str, inputs: int, outputs: int) -> None:
    state[f"{name}.weight"] = torch.randn(outputs, inputs) / inputs**0.5
    state[f"{name}.bias"] = torch.randn(outputs) / 10


def released(backbone: str) -> tuple[State, State]:
    """State dicts with exactly the names and shapes of the released networks."""
    torch.manual_seed(3)
    regressor: State = {}
    if backbone == "al":
        encoder = {f"features.{name}": value for name, value in alexnet().features.state_dict().items()}
        linear(regressor, "lin0", 9216, 32)
        linear(regressor, "lin2", 9216, 32)
        regressor["pw_conv.weight"] = torch.randn(256, 512, 1, 1)
        regressor["pw_conv.bias"] = torch.randn(256)
    else:
        network = resnet18()
        for norm in network.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.running_mean.normal_(0, 0.1)
                norm.running_var.uniform_(0.5, 1.5)
        encoder = {name: value for name, value in network.state_dict().items() if not name.startswith("fc.")}
        linear(regressor, "last_linear", 512, 1000)
        linear(regressor, "lin0", 1000, 32)
    linear(regressor, "lin1", 32, 256)
    linear(regressor, "va_regressor", 256, 2)
    return encoder, regressor


def features_al(encoder: State, image: Tensor) -> Tensor:
    """Five convolutions: (layer, stride, padding, whether the maximum of 3x3 follows)."""
    layers = ((0, 4, 2, True), (3, 1, 2, True), (6, 1, 1, False), (8, 1, 1, False), (10, 1, 1, True))
    for layer, stride, padding, pool in layers:
        weight, bias = encoder[f"features.{layer}.weight"], encoder[f"features.{layer}.bias"]
        image = F.relu(F.conv2d(image, weight, bias, stride=stride, padding=padding))
        image = F.max_pool2d(image, 3, 2) if pool else image
    assert image.shape[1:] == (256, 6, 6)
    return image.flatten(1)


def features_r18(encoder: State, image: Tensor) -> Tensor:
    """ResNet18 up to the mean over the last feature maps."""

    def norm(x: Tensor, name: str) -> Tensor:
        mean, variance = encoder[f"{name}.running_mean"], encoder[f"{name}.running_var"]
        return F.batch_norm(x, mean, variance, encoder[f"{name}.weight"], encoder[f"{name}.bias"])

    x = F.max_pool2d(F.relu(norm(F.conv2d(image, encoder["conv1.weight"], stride=2, padding=3), "bn1")), 3, 2, 1)
    for stage in range(1, 5):
        for block in range(2):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = F.relu(norm(F.conv2d(x, encoder[f"{name}.conv1.weight"], stride=stride, padding=1), f"{name}.bn1"))
            y = norm(F.conv2d(y, encoder[f"{name}.conv2.weight"], padding=1), f"{name}.bn2")
            if f"{name}.downsample.0.weight" in encoder:
                x = norm(F.conv2d(x, encoder[f"{name}.downsample.0.weight"], stride=stride), f"{name}.downsample.1")
            x = F.relu(x + y)
    return x.mean((2, 3))


def forward(backbone: str, encoder: State, regressor: State, image: Tensor) -> Tensor:
    """The released forward pass at test, without its dropout: (N, 3, 224, 224) normalised -> (N, 2)."""
    if backbone == "al":
        x = features_al(encoder, image)
    else:
        x = features_r18(encoder, image)
        x = F.linear(x, regressor["last_linear.weight"], regressor["last_linear.bias"])
    for layer in ("lin0", "lin1"):
        x = F.relu(F.linear(x, regressor[f"{layer}.weight"], regressor[f"{layer}.bias"]))
    return F.linear(x, regressor["va_regressor.weight"], regressor["va_regressor.bias"])


def save(folder: Path, encoder: State, regressor: State, legacy: bool = True) -> tuple[Path, Path]:
    paths = folder / "Encoder.t7", folder / "FC_layer.t7"
    for path, state in zip(paths, (encoder, regressor), strict=True):
        torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    return paths


@pytest.mark.parametrize(("backbone", "legacy"), [("al", True), ("al", False), ("r18", True)])
def test_predictions_are_those_of_the_released_forward_pass(backbone: str, legacy: bool, tmp_path: Path) -> None:
    encoder, regressor = released(backbone)
    made = import_official(*save(tmp_path, encoder, regressor, legacy), backbone, tmp_path / "run")
    faces = torch.randint(0, 256, (2, 256, 256, 3), dtype=torch.uint8)
    image = faces.permute(0, 3, 1, 2)[:, :, 16:240, 16:240].float() / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        wanted = forward(backbone, encoder, regressor, (image - mean[:, None, None]) / std[:, None, None])
    assert wanted.std() > 1e-3
    actual = torch.from_numpy(load(made.folder).predict_crops(list(faces.numpy())))
    torch.testing.assert_close(actual, wanted, atol=1e-5, rtol=1e-5)
    extras = [f"FC_layer.t7: {name}" for name in ("lin2.weight", "lin2.bias", "pw_conv.weight", "pw_conv.bias")]
    assert made.unused == (extras if backbone == "al" else [])
    assert source_digest(made.folder) == open_run(made.folder).specification.digest
    assert "labels by 0.8" in write_model_card(made.folder).read_text()


def test_wrong_files_are_refused_with_a_sentence(tmp_path: Path) -> None:
    encoder, regressor = save(tmp_path, *released("al"))
    with pytest.raises(
        AvceError, match=r"lacks 10 of the 10 tensors .* features.0.weight; it holds .* Give the encoder"
    ):
        import_official(regressor, encoder, "al", tmp_path / "swapped")
    with pytest.raises(AvceError, match=r"Encoder.t7 lacks .* of the released r18"):
        import_official(encoder, regressor, "r18", tmp_path / "other")
    _, state = released("al")
    linear(state, "va_regressor", 256, 7)
    torch.save(state, tmp_path / "classes.t7")
    with pytest.raises(AvceError, match=r"va_regressor.weight has shape \(7, 256\), the released al has \(2, 256\)"):
        import_official(encoder, tmp_path / "classes.t7", "al", tmp_path / "classes")
    (tmp_path / "short.t7").write_bytes(encoder.read_bytes()[:5000])
    with pytest.raises(AvceError, match=r"short.t7 cannot be read as plain tensors"):
        import_official(tmp_path / "short.t7", regressor, "al", tmp_path / "short")
    with pytest.raises(AvceError, match="does not exist"):
        import_official(tmp_path / "nowhere.t7", regressor, "al", tmp_path / "nowhere")
    import_official(encoder, regressor, "al", tmp_path / "run")
    with pytest.raises(AvceError, match="is there already"):
        import_official(encoder, regressor, "al", tmp_path / "run")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["Encoder.t7", "FC_layer.t7", "classes.t7", "run", "short.t7"]


class Malicious:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("written", ["torch", "legacy", "pickle"])
def test_nothing_in_a_file_is_executed(written: str, tmp_path: Path) -> None:
    encoder, regressor = save(tmp_path, *released("al"))
    mark, bad = tmp_path / "executed", tmp_path / "bad.t7"
    content = {"features.0.weight": Malicious(mark)}
    if written == "pickle":
        bad.write_bytes(pickle.dumps(content))
        pickle.loads(bad.read_bytes())
    else:
        torch.save(content, bad, _use_new_zipfile_serialization=written == "torch")
        torch.load(bad, weights_only=False)
    assert mark.exists(), "the file is harmless, so the test proves nothing"
    mark.unlink()
    with pytest.raises(AvceError, match="It was not executed"):
        import_official(bad, regressor, "al", tmp_path / "run")
    with pytest.raises(AvceError, match="It was not executed"):
        import_official(encoder, bad, "al", tmp_path / "run")
    made = import_official(encoder, regressor, "al", tmp_path / "run")
    (made.folder / "checkpoints" / "best.ckpt").write_bytes(bad.read_bytes())
    with pytest.raises(AvceError, match="It was not executed"):
        load(made.folder)
    assert not mark.exists()
