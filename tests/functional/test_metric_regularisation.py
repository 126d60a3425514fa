import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avce_pl.functional.metric_regularisation import hold, metric_regularisation_loss, push
from tests.support import reference

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
rows = st.lists(st.lists(finite, min_size=3, max_size=3), min_size=2, max_size=2)


def test_worked_example():
    v, v_a, v_n = (
        torch.tensor(rows, dtype=torch.float64) for rows in ([[1, 0], [0, 2]], [[0, 1], [0, 1]], [[0.5, 0.5], [0, 1.5]])
    )
    assert push(v_a, v_n).item() == pytest.approx(0.625, abs=1e-12)
    assert metric_regularisation_loss(v, v_a, v_n).item() == pytest.approx(0.6158978937784, abs=1e-12)


def test_terms_match_the_reference():
    v, v_a, v_n = torch.rand(3, 20, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    v_n[0] = v_a[0] + 5
    lists = [t.tolist() for t in (v, v_a, v_n)]
    assert push(v_a, v_n).item() == pytest.approx(reference.push(*lists[1:]), rel=1e-12)
    assert hold(v_a, v).item() == pytest.approx(reference.hold(lists[1], lists[0]), rel=1e-12)
    expected = reference.push(*lists[1:]) + 0.2 * (
        reference.hold(lists[1], lists[0]) + reference.hold(lists[2], lists[0])
    )
    assert metric_regularisation_loss(v, v_a, v_n, hold_weight=0.2).item() == pytest.approx(expected, rel=1e-12)


def test_push_ends_at_a_distance_of_one():
    for distance, expected in ((0.95, 0.0975), (1.0, 0.0), (5.0, 0.0)):
        value = push(torch.zeros(1, 8), torch.eye(8)[:1] * distance)
        assert value.item() == pytest.approx(expected, abs=1e-6)


def test_gradients():
    v, v_a, v_n = torch.rand(3, 5, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(metric_regularisation_loss, (v, v_a, v_n))


def test_dead_features_have_finite_gradients():
    """The head ends in ReLU: all-zero features happen."""
    views = [torch.zeros(2, 8, requires_grad=True) for _ in range(3)]
    loss = metric_regularisation_loss(*views)
    loss.backward()
    assert loss.item() == pytest.approx(1 - 0.02)
    assert all(view.grad.isfinite().all() for view in views)


@given(v=rows, v_a=rows, v_n=rows)
@settings(max_examples=200, deadline=None)
def test_any_finite_features_give_finite_losses_and_gradients(v, v_a, v_n):
    for dtype in (torch.float32, torch.bfloat16):
        views = [torch.tensor(rows, dtype=dtype).nan_to_num().requires_grad_() for rows in (v, v_a, v_n)]
        loss = metric_regularisation_loss(*views)
        loss.backward()
        assert -0.02 - 1e-6 <= loss <= 1.02 + 1e-6
        assert all(view.grad.isfinite().all() for view in views)


def test_order_of_the_batch_does_not_matter():
    views = torch.rand(3, 10, 8, dtype=torch.float64)
    torch.testing.assert_close(metric_regularisation_loss(*views), metric_regularisation_loss(*views.flip(1)))


def test_misuse_is_told_in_a_sentence():
    with pytest.raises(ValueError, match=r"takes \(N, d\) features"):
        push(torch.zeros(3, 8), torch.zeros(4, 8))
    with pytest.raises(ValueError, match="at least one sample"):
        hold(torch.zeros(0, 8), torch.zeros(0, 8))
