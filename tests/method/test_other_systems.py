"""DLP-CNN, DACL and RAN: their updates against an obvious loop, their parameters, and what inference has of them."""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

from avce_pl.backbone.resnet import ResNet
from avce_pl.errors import AvceError
from avce_pl.functional.published_losses import attentive_centre_loss, region_bias_loss, shaken_loss, step_centres
from avce_pl.inference.export import _to_onnx
from avce_pl.inference.network import InferenceNetwork
from avce_pl.method.baseline import Baseline
from avce_pl.method.dacl import DACL
from avce_pl.method.dlp import DLP
from avce_pl.method.ran import CROPS, RAN
from avce_pl.method.seeding import batch_seed
from avce_pl.optimizer.sgd_step import SGDStep
from avce_pl.optimizer.step_decay import StepDecay
from avce_pl.runs.folder import RunFolder
from avce_pl.runs.specification import Specification
from tests.support.reference_literature import LABEL, PREDICTION
from tests.support.reference_literature import locality_loss as slow_locality
from tests.support.tiny import TinyBackbone, batches, fit

pytestmark = pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no")
ADAM = StepDecay(learning_rate=1e-2, milestones=(99,))


def made(method: type[Baseline], **options) -> Baseline:
    torch.manual_seed(1)
    return method(TinyBackbone(), ADAM, seed=7, **options).double()


def assert_follows(module: Baseline, loss: Callable[[Baseline, dict[str, Tensor], int], Tensor]) -> None:
    """Compares a training with a copy that is stepped by hand on the loss of each batch."""
    expected = copy.deepcopy(module).train()
    adam = torch.optim.Adam(expected.parameters(), lr=1e-2, betas=(0.5, 0.9))
    for step, batch in enumerate(batches()):
        value = loss(expected, batch, step)
        adam.zero_grad()
        value.backward()
        adam.step()
    fit(module, batches())
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(module.state_dict()[name], value, atol=1e-6, rtol=1e-5)


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return -logits.log_softmax(1)[range(len(logits)), target].mean()


def test_dlp() -> None:
    def loss(expected: Baseline, batch: dict[str, Tensor], step: int) -> Tensor:
        z, target = expected.backbone(batch["image"]), batch["expression"]
        pull = torch.zeros((), dtype=z.dtype)
        for i, x in enumerate(z):
            others = [j for j in range(len(z)) if j != i and target[j] == target[i]]
            near = sorted(others, key=lambda j: (x - z[j]).norm().item())[:2]
            if near:
                pull = pull + (x - z[near].mean(0).detach()).square().sum() / len(z) / 2
        assert pull.item() == pytest.approx(slow_locality(z.tolist(), target.tolist(), 2))
        return cross_entropy(expected.regressor(z), target) + 0.5 * pull

    assert_follows(made(DLP, classes=3, locality_weight=0.5, neighbours=2), loss)


def test_dacl() -> None:
    def loss(expected: Baseline, batch: dict[str, Tensor], step: int) -> Tensor:
        assert isinstance(expected, DACL)
        maps, target = expected.backbone.encoder(batch["image"]), batch["expression"]
        feature, logits = maps.mean((2, 3)), expected.attention(maps)
        weights = torch.stack([logits[:, 2 * d : 2 * d + 2].softmax(1)[:, 1] for d in range(4)], 1)
        centre = attentive_centre_loss(feature, weights, expected.centres, target)
        expected.centres = step_centres(feature, weights, expected.centres, target)
        return cross_entropy(expected.regressor(feature), target) + 0.5 * centre

    module = made(DACL, classes=3, centre_weight=0.5)
    before = module.centres.clone()  # type: ignore[operator]
    assert_follows(module, loss)
    assert not before.equal(module.centres)


@pytest.mark.parametrize("classes", [0, 3])
def test_ran(classes: int) -> None:
    def loss(expected: Baseline, batch: dict[str, Tensor], step: int) -> Tensor:
        image, attention = batch["image"], expected.backbone.compressor
        encoder = expected.backbone.encoder.encoder
        regions = []
        for top, left, share in CROPS:
            row, column, side = round(top * 8), round(left * 8), round(share * 8)
            crop = image[:, :, row : row + side, column : column + side]
            regions.append(torch.nn.functional.interpolate(crop, (8, 8), mode="bilinear"))
        features = [encoder(region).mean((2, 3)) for region in [*regions, image]]  # type: ignore[operator]
        mu = [torch.sigmoid(attention.first(f)) for f in features]  # type: ignore[operator]
        common = sum(m * f for m, f in zip(mu, features, strict=True)) / sum(mu)
        pairs = [torch.cat([f, common], 1) for f in features]  # type: ignore[list-item]
        both = [m * torch.sigmoid(attention.second(p)) for m, p in zip(mu, pairs, strict=True)]  # type: ignore[operator]
        out = expected.regressor(sum(b * p for b, p in zip(both, pairs, strict=True)) / sum(both))
        bias = region_bias_loss(torch.cat(mu, 1), 0.5)
        error = cross_entropy(out, batch["expression"]) if classes else (out - batch["label"]).square().mean(0).sum()
        return error + bias

    assert_follows(made(RAN, classes=classes, margin=0.5, supervised="mse"), loss)


def test_worked_example_of_region_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avce_pl.method.ran.CROPS", CROPS[:2])  # three regions
    from avce_pl.method.ran import RegionAttention

    attention = RegionAttention(2).double()
    with torch.no_grad():
        attention.first.weight.copy_(torch.tensor([[0.5, -0.25]]))
        attention.second.weight.copy_(torch.tensor([[0.2, 0.1, -0.3, 0.4]]))
        attention.first.bias.fill_(0.1)
        attention.second.bias.fill_(0.0)
    regions = torch.tensor([[[1, 0], [0, 1], [2, 2]], [[0, 0], [1, 1], [1, 0]]], dtype=torch.float64)
    maps = regions.reshape(2, 6, 1, 1)
    _, mu = attention.weights(maps)
    expected = [[0.645656, 0.462570, 0.645656], [0.524979, 0.586618, 0.645656]]
    torch.testing.assert_close(mu, torch.tensor(expected, dtype=torch.float64), atol=1e-6, rtol=0)
    values = [[1.168808, 1.058428, 1.104389, 1], [0.725938, 0.353858, 0.701250, 0.333826]]
    torch.testing.assert_close(attention(maps), torch.tensor(values, dtype=torch.float64), atol=2e-6, rtol=0)


@pytest.mark.parametrize(("supervised", "value"), [("mse", 0.0425), ("ccc", 0.227356), ("cage", -1.417788)])
def test_supervised_losses(supervised: str, value: float) -> None:
    label, prediction = torch.tensor(LABEL, dtype=torch.float64), torch.tensor(PREDICTION, dtype=torch.float64)
    loss = made(Baseline, supervised=supervised).prediction_loss(prediction, label)
    assert loss.item() == pytest.approx(value, abs=1e-6)
    logits, target = torch.randn(3, 4, dtype=torch.float64), torch.tensor([0, 1, 3])
    entropy = made(Baseline, supervised=supervised, classes=4).prediction_loss(logits, target)
    torch.testing.assert_close(entropy, cross_entropy(logits, target))


def test_the_shaken_proportion_depends_on_seed_and_batch_alone() -> None:
    def loss(expected: Baseline, batch: dict[str, Tensor], step: int) -> Tensor:
        generator = torch.Generator().manual_seed(batch_seed(7, step, "shaken"))
        weights = torch.rand(3, generator=generator).double()
        return shaken_loss(expected.regressor(expected.backbone(batch["image"])), batch["label"], weights)

    assert_follows(made(Baseline, supervised="shaken", dropout=0.0), loss)


def test_parameters_are_those_of_the_papers() -> None:
    dacl, ran = (method(ResNet(18), ADAM, seed=0, classes=7) for method in (DACL, RAN))
    assert sum(p.numel() for p in dacl.parameters()) == 103_042_311
    assert sum(p.numel() for name, p in dacl.named_parameters() if name.startswith("attention.")) == 91_862_208
    assert sum(p.numel() for p in dacl.trunk_parameters()) == 11_180_103
    assert sum(p.numel() for p in ran.parameters()) == 11_185_225


@pytest.mark.parametrize("method", [DACL, RAN])
def test_inference_has_the_same_networks(method: type[Baseline]) -> None:
    trained = method(ResNet(18), ADAM, seed=0, classes=2).eval()
    backbone = ResNet(18)
    network = InferenceNetwork(backbone, method.inference_regressor(backbone, {}), 64).eval()
    state = trained.state_dict()
    network.load_state_dict({key: value for key, value in state.items() if key.startswith(("backbone.", "regressor."))})
    image = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(network.regressor(network.backbone(image)), trained(image))


@pytest.mark.parametrize("method", [DLP, DACL])
def test_without_classes_is_a_sentence(method: type[Baseline]) -> None:
    with pytest.raises(AvceError, match="works on classes of expressions"):
        made(method)


def test_sgd_steps_the_trunk() -> None:
    optimizer = SGDStep(milestones=(1 / 3, 2 / 3))
    assert [optimizer.factor(batch, 6) for batch in range(6)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    (group,) = optimizer.trunk(torch.nn.Linear(1, 1).parameters()).param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.01, 0.9, 5e-4)


def test_ran_exports_with_any_number_of_faces(tmp_path: Path) -> None:
    backbone = ResNet(18)
    network = InferenceNetwork(backbone, RAN.inference_regressor(backbone, {}), 64).eval()
    folder = RunFolder(tmp_path, {}, 0, Specification(64, 73, 0.3, ""))
    session = onnxruntime.InferenceSession(_to_onnx(network, folder).SerializeToString())
    faces = np.random.default_rng(0).integers(0, 256, (5, 73, 73, 3), np.uint8)
    for part in (faces[:1], faces):
        with torch.no_grad():
            wanted = network(torch.from_numpy(part)).numpy()
        np.testing.assert_allclose(session.run(None, {"faces": part})[0], wanted, atol=1e-4)
