import pytest
import torch

from avce_pl.errors import AvceError
from avce_pl.metrics.expression import ExpressionMetrics

TRUE = torch.tensor([0, 0, 0, 1, 1, 2])
PREDICTED = torch.tensor([0, 0, 1, 1, 2, 2])


def test_a_worked_example_in_batches_of_any_size() -> None:
    metrics = ExpressionMetrics(4)
    logits = 5.0 * torch.nn.functional.one_hot(PREDICTED, 4)
    for part in ([0], [1, 2, 3], [4, 5]):
        metrics.update(logits[part], TRUE[part])
    values = metrics.compute()
    assert values["accuracy"].item() == pytest.approx(4 / 6)
    assert values["accuracy_macro"].item() == pytest.approx((2 / 3 + 1 / 2 + 1) / 3), "the absent class does not count"
    assert values["f1_macro"].item() == pytest.approx((0.8 + 0.5 + 2 / 3) / 3)
    assert values["confusion"].tolist() == [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert set(metrics.maximised) == values.keys() - {"confusion"}


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_diverged_logits_are_a_sentence(value: float) -> None:
    with pytest.raises(AvceError, match="the training has diverged"):
        ExpressionMetrics(3).update(torch.tensor([[0.0, value, 1.0]]), torch.tensor([0]))
