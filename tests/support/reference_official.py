"""The released networks as names and shapes, and their forward pass written down again."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models import alexnet, resnet18

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
