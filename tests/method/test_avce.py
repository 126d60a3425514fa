import copy
from itertools import combinations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avce_pl.crl_formula import avce as avce_formula
from avce_pl.crl_formula.none import NoCRL
from avce_pl.errors import AvceError
from avce_pl.feature_transform.closed_form import ClosedForm
from avce_pl.functional.negatives import NegativeWeights
from avce_pl.method.avce import AVCE
from avce_pl.method.released import ReleasedAVCE
from avce_pl.method.seeding import batch_seed
from avce_pl.mining.hard import HardMining
from avce_pl.mining.none import NoMining
from avce_pl.optimizer.step_decay import StepDecay
from avce_pl.similarity.paper import PaperSimilarity
from avce_pl.training.callbacks.contrast import ContrastWatch
from tests.support.tiny import BATCHES, N, TinyBackbone, batches, fit

pytestmark = pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no")


def method(cls: type[AVCE] = AVCE, **options) -> AVCE:
    torch.manual_seed(1)
    options = {"crl_formula": avce_formula.AVCE(), "mining": NoMining(), "crl_weight": 0.5, "seed": 7} | options
    made = cls(
        backbone=TinyBackbone(),
        similarity=PaperSimilarity(),
        feature_transform=ClosedForm(),
        optimizer=StepDecay(learning_rate=1e-2, milestones=(2,), decay=0.5),
        **options,
    )
    return made.double()


def moments(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    mx, my = x.mean(), y.mean()
    return mx, my, ((x - mx) ** 2).mean(), ((y - my) ** 2).mean(), ((x - mx) * (y - my)).mean()


def supervised(x: Tensor, batch: dict[str, Tensor]) -> Tensor:
    if x.shape[1] == 3:  # three expressions
        return -torch.stack(
            [row.softmax(0)[code].log() for row, code in zip(x, batch["expression"], strict=True)]
        ).mean()
    label = batch["label"]
    loss = torch.zeros(())
    for axis in (0, 1):
        mx, my, vx, vy, cov = moments(x[:, axis], label[:, axis])
        loss = loss + ((x[:, axis] - label[:, axis]) ** 2).mean()
        loss = loss + 0.25 * (1 - cov / (vx * vy).sqrt()) + 0.25 * (1 - 2 * cov / (vx + vy + (mx - my) ** 2))
    return loss


def similarity(x: Tensor, y: Tensor) -> Tensor:
    cosine = (x @ y) / (x.norm() * y.norm())
    differs = 0.05 if len(x) == 2 and x[0].sign() != y[0].sign() else 0.0
    return 1 - torch.arccos(cosine.clamp(-1, 1)) / torch.pi + 0.8 * (1 - (x.norm() - y.norm()).abs()) - differs


def contrastive(x: Tensor, y_a: Tensor, y_n: Tensor) -> Tensor:
    pos = torch.stack([similarity(a, b) for a, b in zip(x, y_a, strict=True)])
    neg = torch.stack([similarity(a, b) for a, b in zip(x, y_n, strict=True)])
    return -(pos.mean() - 0.5 * neg.mean() - 0.0025 * (pos**2).mean() - 0.25 * (neg**2).mean())


def sparsemax(row: Tensor) -> Tensor:
    ordered = row.sort(descending=True).values
    for k in range(len(row), 0, -1):
        threshold = (ordered[:k].sum() - 1) / k
        if ordered[k - 1] > threshold:
            return torch.where(row > threshold, row - threshold, torch.zeros(()))
    raise AssertionError


def regularisation(v: Tensor, v_a: Tensor, v_n: Tensor) -> Tensor:
    unit = [u / (u.norm(dim=1, keepdim=True) + 1e-6) for u in (v, v_a, v_n)]
    push = F.relu(1 - ((v_a - v_n) ** 2).sum(1)).mean()
    return push + 0.01 * sum(((u - unit[0]).norm(dim=1) - 1).mean() for u in unit[1:])


def transformed(z: Tensor) -> tuple[Tensor, Tensor]:
    return torch.stack([sparsemax(row) for row in z]), z.softmax(1)


def reference(module: AVCE, data: list[dict[str, Tensor]], two_phase: bool, contrast: bool, stale: bool) -> None:
    """Method.md section 6 as one obvious loop with one optimizer per network."""
    e, r, h, v = module.backbone, module.regressor, module.projection_head, module.discriminative_head
    rate = 1e-2 if two_phase else 1.7e-2
    adam = [torch.optim.Adam(net.parameters(), lr=rate, betas=(0.5, 0.9)) for net in (e, r)]
    sgd_h, sgd_v = (torch.optim.SGD(net.parameters(), lr=1e-2, momentum=0.9) for net in (h, v))
    everything = [*adam, sgd_h, sgd_v]
    module.train()
    for step, batch in enumerate(data):
        if step == 2:
            for optimizer in everything:
                optimizer.param_groups[0]["lr"] *= 0.5
        torch.manual_seed(batch_seed(7, step, "dropout"))
        z = e(batch["image"])
        loss = supervised(r(z), batch)
        if contrast:
            torch.manual_seed(batch_seed(7, step, "dropout"))  # R's dropout once more, as in the line above
            x = r(z)
            z_a, z_n = transformed(z)
            loss = supervised(x, batch) + 0.5 * contrastive(x, h(z_a), h(z_n))
        if two_phase:
            for optimizer in everything:
                optimizer.zero_grad()
            loss.backward()
            for optimizer in [*adam, *([sgd_h] if contrast else [])]:
                optimizer.step()
            z = e(batch["image"])
        z_a, z_n = transformed(z)
        second = regularisation(v(z), v(z_a), v(z_n))
        for optimizer in everything:
            optimizer.zero_grad(set_to_none=not (two_phase and stale))
        (second if two_phase else loss + second).backward()
        stepped = [adam[0], sgd_v]
        if not two_phase or stale:
            stepped.append(adam[1])
        if not two_phase and contrast:
            stepped.append(sgd_h)
        for optimizer in stepped:
            optimizer.step()


@pytest.mark.parametrize("update", ["two_phase", "shared"])
@pytest.mark.parametrize("contrast", [True, False])
@pytest.mark.parametrize("stale", [True, False])
@pytest.mark.parametrize("classes", [0, 3])
def test_updates_equal_the_obvious_loop(update: str, contrast: bool, stale: bool, classes: int) -> None:
    formula = {} if contrast else {"crl_formula": NoCRL()}
    released = {"cls": ReleasedAVCE, "head_weights": "default"} if stale else {}
    module = method(update=update, batch_norm=False, classes=classes, **released, **formula)
    expected = copy.deepcopy(module)
    start = copy.deepcopy(module.state_dict())
    reference(expected, batches(), update == "two_phase", contrast, stale)
    trainer = fit(module, batches())
    assert trainer.global_step == BATCHES, "the suite counts batches, not optimizer steps"
    moved = {name for name, value in module.state_dict().items() if not torch.equal(value, start[name])}
    assert any("projection_head" in name for name in moved) == contrast
    for name, value in expected.named_parameters():
        torch.testing.assert_close(
            module.get_parameter(name),
            value,
            atol=1e-6,
            rtol=1e-5,
            msg=lambda m: f"{name}: {m}",  # noqa: B023
        )


def test_logits_have_no_last_activation() -> None:
    torch.manual_seed(0)
    feature = 1000 * torch.rand(N, 5, dtype=torch.float64)
    assert method().projection_head(feature).abs().max() <= 0.5
    assert method(classes=7).projection_head(feature).abs().max() > 1


def test_losses_are_logged_by_their_names_under_the_batch_that_they_belong_to() -> None:
    every = fit(method(), batches(), every=1, epochs=2).logger.rows
    assert list(every) == list(range(2 * BATCHES))
    names = {"train/loss", "train/loss_supervised", "train/loss_crl", "train/loss_regularisation", "epoch"}
    assert all(names <= row.keys() for row in every.values())
    assert [row["epoch"] for row in every.values()] == [0] * BATCHES + [1] * BATCHES
    expected = method()
    expected.train()
    torch.manual_seed(batch_seed(7, 0, "dropout"))
    first = batches()[0]
    z = expected.backbone(first["image"])
    assert every[0]["train/loss_supervised"] == pytest.approx(supervised(expected.regressor(z), first).item())
    third = fit(method(), batches(), every=3, epochs=2).logger.rows
    assert list(third) == [2, 3, 5, 7], "every third batch, and the last of an epoch"
    assert all(third[step] == every[step] for step in third)
    assert list(fit(method(), batches(), every=50).logger.rows) == [3], "an epoch shorter than that has a row too"


def test_the_contrast_is_measured_whatever_is_logged() -> None:
    def means(**options) -> dict[str, float]:
        watch = ContrastWatch()
        fit(method(**options.pop("method", {})), batches(), callbacks=[watch], **options)
        return watch.record

    measured = means(epochs=2)
    assert measured == means(epochs=2, every=50)
    assert measured["alive"] is True
    assert measured.keys() == {
        *("views", "scores", "dead_latents", "gradient_share", "alive"),
        *(f"corr_{view}_{axis}" for view in ("positive", "negative") for axis in ("valence", "arousal")),
    }
    assert not any("corr" in name for name in means(method={"classes": 3})), "classes have no correlation"
    assert means(method={"crl_formula": NoCRL()}) is None


def test_the_measured_contrast_is_what_it_says() -> None:
    module = method()
    data = batches()[:1]
    watch = ContrastWatch()
    before = copy.deepcopy(module)
    fit(module, data, callbacks=[watch])
    before.train()
    torch.manual_seed(batch_seed(7, 0, "dropout"))
    z = before.backbone(data[0]["image"])
    z.retain_grad()
    loss = supervised(before.regressor(z), data[0])
    loss.backward(retain_graph=True)
    pull = z.grad.norm().item()
    z.grad = None
    torch.manual_seed(batch_seed(7, 0, "dropout"))
    x = before.regressor(z)
    sparse, soft = transformed(z)
    y_a, y_n = before.projection_head(sparse), before.projection_head(soft)
    z.grad = None
    (0.5 * contrastive(x, y_a, y_n)).backward()
    label = data[0]["label"]
    record = watch.record
    assert record["gradient_share"] == pytest.approx(z.grad.norm().item() / pull, rel=1e-5)
    assert record["views"] == pytest.approx(sum((a - b).norm().item() for a, b in zip(sparse, soft, strict=True)) / N)
    assert record["scores"] == pytest.approx(sum((a - b).norm().item() for a, b in zip(y_a, y_n, strict=True)) / N)
    assert record["dead_latents"] == sum(all(z[:, k] == 0) for k in range(5))
    for view, y in (("positive", y_a), ("negative", y_n)):
        for axis, name in enumerate(("valence", "arousal")):
            _, _, first, second, both = moments(y[:, axis], label[:, axis])
            assert record[f"corr_{view}_{name}"] == pytest.approx((both / (first * second).sqrt()).item(), abs=1e-4)


def test_a_dead_contrast_is_said_once_and_a_resumed_run_remembers(caplog: pytest.LogCaptureFixture) -> None:
    module = method()
    with torch.no_grad():
        module.backbone.compressor[2].bias.copy_(torch.tensor([1e4, 0, 0, 0, 0]))  # one coordinate far above all others
    watch = ContrastWatch()
    fit(module, batches(), epochs=3, callbacks=[watch])
    assert watch.record["alive"] is False
    said = [record.message for record in caplog.records if "The contrast has died" in record.message]
    assert len(said) == 1
    assert "at batch 4:" in said[0]
    assert "backbone.latent_norm=batch" in said[0]
    resumed = ContrastWatch()
    resumed.load_state_dict(watch.state_dict())
    assert resumed.record == watch.record
    assert resumed.warned


class Recorded(HardMining):
    """Keeps the pairs that it draws."""

    def __call__(self, scores: Tensor, generator: torch.Generator | None = None) -> NegativeWeights:
        weights = super().__call__(scores, generator)
        self.drawn = [*getattr(self, "drawn", []), weights.log_weights.tolist()]
        return weights


@pytest.mark.parametrize(
    "accelerator",
    ["cpu", pytest.param("gpu", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"))],
)
def test_every_seed_varies_dropout_and_mining(accelerator: str) -> None:
    masks, draws = [], []
    for seed in (0, 1, 2, 0):
        mining = Recorded(concentration=0.0, share=0.5)
        dropped: list[list[list[bool]]] = []
        module = method(seed=seed, mining=mining, dropout=0.5)
        for layer in module.regressor.modules():
            if isinstance(layer, nn.Dropout):
                layer.register_forward_hook(
                    lambda _layer, _inputs, output, kept=dropped: kept.append((output == 0).tolist())
                )
        fit(module, batches(), accelerator=accelerator)
        masks.append(dropped)
        draws.append(mining.drawn)
    for varied in (masks, draws):
        assert all(varied[one] != varied[other] for one, other in combinations(range(3), 2))
        assert varied[0] == varied[3]
        assert varied[0][0] != varied[0][1], "batches differ too"


def test_all_bits_of_a_batchs_seed_depend_on_the_run_the_batch_and_the_purpose() -> None:
    seeds = [
        batch_seed(seed, batch, purpose)
        for seed in (0, 1, 2, 2**31 - 1)
        for batch in range(50)
        for purpose in ("dropout", "mining")
    ]
    assert len({seed % 2**32 for seed in seeds}) == len(seeds), "torch's generator of a CPU keeps 32 bits"


def test_a_diverged_training_stops_with_a_sentence() -> None:
    data = batches()
    data[1]["image"][0] = torch.inf
    found = r"train/loss is nan at batch 2 of the training \(epoch 1\): the training has diverged\. Lower optimizer"
    with pytest.raises(AvceError, match=found):
        fit(method(), data, every=50)


def test_the_accidents_of_the_released_code() -> None:
    module = method(ReleasedAVCE, evaluation_latch=True, dropout_at_test=True)
    fit(module, batches())
    assert not module.backbone.training
    assert not module.regressor.training
    module.on_test_model_eval()
    assert module.regressor[0].training
    without = method(ReleasedAVCE)
    fit(without, batches())
    without.on_test_model_eval()
    assert not any(layer.training for layer in without.modules())


def test_released_initial_weights_of_the_heads() -> None:
    module = method(ReleasedAVCE)
    layers = [m for m in module.projection_head.modules() if isinstance(m, nn.Linear)]
    assert (layers[0].bias == torch.tensor(0.01).double()).all()
    assert layers[0].weight.detach().std() == pytest.approx(1, abs=0.1)
    torch.testing.assert_close(module.regressor.state_dict(), method().regressor.state_dict(), rtol=0, atol=0)
