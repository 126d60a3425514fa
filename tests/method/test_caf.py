import copy

import pytest
import torch
from torch import Tensor, nn

from avce_pl.backbone.alexnet import AlexNet
from avce_pl.backbone.resnet import ResNet
from avce_pl.errors import AvceError
from avce_pl.method.caf import CAF
from avce_pl.optimizer.step_decay import StepDecay
from tests.support import reference_caf
from tests.support.tiny import BATCHES, TinyBackbone, batches, fit

pytestmark = pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no")


def caf(backbone=None, **options) -> CAF:
    torch.manual_seed(1)
    optimizer = StepDecay(learning_rate=1e-2, milestones=(2,), decay=0.5)
    return CAF(backbone or TinyBackbone(), optimizer, seed=7, **options).double()


def data() -> list[dict[str, Tensor]]:
    """Batches of strong and weak faces; the third has faces of one strength only."""
    made = batches()
    for batch in made:
        batch["label"][::2] *= 0.2
    made[2]["label"] = torch.full_like(made[2]["label"], 0.4)
    return made


def critic_loss(strong: Tensor, weak: Tensor, multiplier: float, penalty: float) -> tuple[Tensor, float]:
    """Method.md section 7, step 3, one pair after the other; only the margin is taken from the slow reference."""
    n = len(strong)
    within, between = [], []
    for i in range(n):
        paired = weak[n - 1 - i]
        p = [(-((paired - mean) ** 2) / 0.4).exp() for mean in (strong[i], -torch.ones(()), torch.ones(()))]
        information = (p[0] / (0.5 * p[1] + 0.5 * p[2])).log().mean().clamp(0, 2.5)
        outputs = torch.cat([strong, weak]).tolist()
        margin = information + reference_caf.confidence(outputs, [1] * n + [0] * n, i)
        within.append(((strong[i] - strong[n - 1 - i]) ** 2).sum())
        between.append((margin - ((strong[i] - paired) ** 2).sum()).relu())
    d_ap, d_an = torch.stack(within), torch.stack(between)
    c = 1 - 0.5 * (d_ap**2).mean() - 0.5 * (d_an**2).mean()
    return d_ap.mean() + d_an.mean() + multiplier * c + penalty / 2 * c**2, c.item()


@pytest.mark.parametrize("agreement", ["none", "population"])
@pytest.mark.parametrize("supervised", ["rmse", "mse"])
def test_updates_equal_the_obvious_loop(supervised: str, agreement: str) -> None:
    module = caf(dropout=0.0, critic_dropout=0.0, penalty=0.1, supervised=supervised, agreement=agreement)
    expected = copy.deepcopy(module).train()
    e, r, critic = expected.backbone, expected.regressor, expected.critic
    adams = [
        torch.optim.Adam(parameters, lr=1e-2, betas=(0.5, 0.9))
        for parameters in (e.encoder.parameters(), [*e.compressor.parameters(), *r.parameters()], critic.parameters())
    ]
    multiplier, skipped = 0.0, 0
    for step, batch in enumerate(data()):
        for adam in adams:
            adam.param_groups[0]["lr"] = 1e-2 if step < 2 else 0.5e-2
        image, label = batch["image"], batch["label"]
        maps = e.encoder(image)
        x = r(e.compressor(maps))
        squares = ((x - label) ** 2).mean(0)
        loss = ((squares + 1e-8).sqrt() - 1e-4).sum() if supervised == "rmse" else squares.sum()
        for axis in (0, 1) if agreement == "population" else ():
            a, b = x[:, axis], label[:, axis]
            da, db = a - a.mean(), b - b.mean()
            eps = 1e-8  # a constant batch of labels has no correlation
            correlation = (da * db).mean() / (((da**2).mean() + eps) * ((db**2).mean() + eps)).sqrt()
            spread = (da**2).mean() + (db**2).mean() + (a.mean() - b.mean()) ** 2 + 2 * eps
            loss = loss + 0.25 * (1 - correlation) + 0.25 * (1 - 2 * (da * db).mean() / spread)
        for adam in adams:
            adam.zero_grad()
        loss.backward()
        adams[0].step()
        adams[1].step()
        strong, weak = reference_caf.groups(label.tolist())
        if not strong:
            skipped += 1
            continue
        outputs = critic(maps.detach().mean((2, 3)))
        adams[2].zero_grad()
        loss, c = critic_loss(outputs[strong], outputs[weak], multiplier, 0.1)
        loss.backward()
        adams[2].step()
        multiplier += 0.1 * c
        adams[0].zero_grad()
        (-0.1 * critic(e.encoder(image[weak]).mean((2, 3))).mean()).backward()
        adams[0].step()
    trainer = fit(module, data())
    assert trainer.global_step == BATCHES, "the suite counts batches, not optimizer steps"
    assert module.skipped.item() == skipped == 1
    assert module.multiplier.item() == pytest.approx(multiplier)
    assert abs(multiplier) > 0.01
    for name, value in module.state_dict().items():
        if name in ("skipped", "multiplier"):
            continue
        torch.testing.assert_close(value, expected.state_dict()[name], atol=1e-6, rtol=1e-5)
    logged = {name for row in trainer.logger.rows.values() for name in row}
    assert {"train/loss", "train/loss_critic", "train/loss_adversarial", "train/skipped_batches"} <= logged


def test_parameters_are_those_of_the_paper() -> None:
    for backbone, everything in ((AlexNet(), 3_652_618), (ResNet(18), 11_245_322)):
        module = caf(backbone)
        assert sum(p.numel() for p in module.parameters()) == everything
    normed = caf(AlexNet(), batch_norm=True)  # affects no number of parameters
    assert sum(p.numel() for p in normed.parameters()) == 3_652_618
    assert sum(p.numel() for p in normed.trunk_parameters()) == 3_652_618 - 592_496


def test_lambda_is_part_of_a_checkpoint() -> None:
    module = caf(penalty=0.1)
    fit(module, data())
    again = caf()
    again.load_state_dict(module.state_dict())
    assert again.multiplier.item() == module.multiplier.item() != 0


def test_what_it_cannot_do_is_a_sentence() -> None:
    with pytest.raises(AvceError, match=r"expressions does not have. Use method=avce or method=baseline"):
        caf(classes=7)
    with pytest.raises(AvceError, match="freeze=encoder is refused"):
        caf().freeze_encoder()
    backbone = TinyBackbone()
    backbone.compressor = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.ReLU())
    with pytest.raises(AvceError, match=r"compressor of TinyBackbone has none .*Make it an nn.Sequential with an"):
        caf(backbone)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_inference_has_the_networks_that_it_trains(batch_norm: bool) -> None:
    module = caf(ResNet(18), batch_norm=batch_norm).float().eval()
    backbone = ResNet(18)
    regressor = CAF.inference_regressor(backbone, {"batch_norm": batch_norm, "dropout": 0.5})
    backbone.load_state_dict(module.backbone.state_dict())
    regressor.load_state_dict(module.regressor.state_dict())
    image = torch.randn(2, 3, 64, 64)
    assert torch.equal(regressor.eval()(backbone.eval()(image)), module(image))
