import copy

import pytest
import torch

from avce_pl.method.baseline import Baseline
from avce_pl.optimizer.step_decay import StepDecay
from tests.support.reference import ccc, pcc
from tests.support.tiny import BATCHES, TinyBackbone, batches, fit

pytestmark = pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no")


def baseline(**options) -> Baseline:
    torch.manual_seed(1)
    optimizer = StepDecay(learning_rate=1e-2, milestones=(2,), decay=0.5)
    return Baseline(TinyBackbone(), optimizer, seed=7, **options).double()


@pytest.mark.parametrize(("agreement", "classes"), [("population", 0), ("none", 0), ("none", 3)])
def test_updates_equal_the_obvious_loop(agreement: str, classes: int) -> None:
    module = baseline(agreement=agreement, classes=classes, dropout=0.0)
    expected = copy.deepcopy(module).train()
    adam = torch.optim.Adam(expected.parameters(), lr=1e-2, betas=(0.5, 0.9))
    for step, batch in enumerate(batches()):
        adam.param_groups[0]["lr"] = 1e-2 if step < 2 else 0.5e-2
        x = expected.regressor(expected.backbone(batch["image"]))
        if classes:
            loss = -x.log_softmax(1)[range(len(x)), batch["expression"]].mean()
        else:
            loss = ((x - batch["label"]) ** 2).mean(0).sum()
            for axis in (0, 1) if agreement == "population" else ():
                a, b = x[:, axis], batch["label"][:, axis]
                da, db = a - a.mean(), b - b.mean()
                loss = loss + 0.25 * (1 - (da * db).mean() / ((da**2).mean() * (db**2).mean()).sqrt())
                spread = (da**2).mean() + (db**2).mean() + (a.mean() - b.mean()) ** 2
                loss = loss + 0.25 * (1 - 2 * (da * db).mean() / spread)
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert fit(module, batches()).global_step == BATCHES
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(module.state_dict()[name], value, atol=1e-6, rtol=1e-5)


def test_official_moments() -> None:
    x, label = torch.rand(2, 5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = ((x - label) ** 2).mean(0).sum().item()
    for axis in (0, 1):
        a, b = x[:, axis].tolist(), label[:, axis].tolist()
        expected += 0.25 * (1 - pcc(a, b, official=True)) + 0.25 * (1 - ccc(a, b, official=True))
    assert baseline().supervised_loss(x, label, "official").item() == pytest.approx(expected)
