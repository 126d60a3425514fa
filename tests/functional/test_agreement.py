import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avce_pl.functional.agreement import ccc, ccc_loss, pcc, pcc_loss
from tests.support import reference

X, LABEL = (torch.tensor(v, dtype=torch.float64) for v in (reference.X, reference.LABEL))
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
pairs = st.lists(st.tuples(finite, finite), min_size=1, max_size=6)


def test_official_losses_of_the_worked_example():
    assert pcc_loss(X, LABEL, official=True).item() == pytest.approx(0.2604598679086, abs=1e-12)
    assert ccc_loss(X, LABEL, official=True).item() == pytest.approx(0.2744080948705, abs=1e-12)


def test_agreement_of_the_worked_example():
    assert pcc(X, LABEL)[0].item() == pytest.approx(0.9831920802502, abs=1e-6)
    assert ccc(X, LABEL)[0].item() == pytest.approx(0.9830508474576, abs=1e-6)


@pytest.mark.parametrize("official", [False, True])
def test_columns_match_the_reference(official):
    x, y = torch.randn(2, 30, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) / 3
    for function, slow in ((pcc, reference.pcc), (ccc, reference.ccc)):
        expected = [slow(a, b, official) for a, b in zip(x.T.tolist(), y.T.tolist(), strict=True)]
        assert function(x, y, official=official).tolist() == pytest.approx(expected, rel=1e-6)
        assert function(x[:, 1], y[:, 1], official=official).item() == pytest.approx(expected[1], rel=1e-6)


def test_a_perfect_batch():
    assert pcc_loss(LABEL, LABEL).item() == pytest.approx(0, abs=1e-6)
    assert ccc_loss(LABEL, LABEL).item() == pytest.approx(0, abs=1e-6)
    assert pcc_loss(LABEL, LABEL, official=True).item() == pytest.approx(1 / 4)


@pytest.mark.parametrize("official", [False, True])
@pytest.mark.parametrize("loss", [pcc_loss, ccc_loss])
def test_gradients(loss, official):
    x, y = torch.randn(2, 6, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: loss(x, y, official=official), (x, y))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("official", [False, True])
@pytest.mark.parametrize(
    ("prediction", "label"),
    [
        ([[0.1, 0.2]], [[0.3, 0.4]]),
        ([[0.0, 0.0]] * 8, [[0.0, 0.0]] * 8),
        ([[0.5, -0.25]] * 8, [[0.5, 0.25]] * 8),
    ],
    ids=["one sample", "zeros", "constant"],
)
@pytest.mark.parametrize("loss", [pcc_loss, ccc_loss])
def test_constant_batches_have_no_agreement_and_finite_gradients(loss, prediction, label, official, dtype):
    x = torch.tensor(prediction, dtype=dtype, requires_grad=True)
    value = loss(x, torch.tensor(label, dtype=dtype), official=official)
    value.backward()
    assert value == 1
    assert x.grad.isfinite().all()


def test_a_constant_prediction_has_a_finite_gradient():
    x = torch.full((8, 2), 0.1, requires_grad=True)
    (pcc_loss(x, torch.randn(8, 2)) + ccc_loss(x, torch.randn(8, 2))).backward()
    assert x.grad.isfinite().all()


@given(pairs=pairs, official=st.booleans())
@settings(max_examples=200, deadline=None)
def test_any_finite_batch_gives_finite_agreement_and_gradients(pairs, official):
    for dtype in (torch.float32, torch.bfloat16):
        x, y = (torch.tensor(v, dtype=dtype).nan_to_num().requires_grad_() for v in zip(*pairs, strict=True))
        for function in (pcc, ccc):
            value = function(x, y, official=official)
            gradients = torch.autograd.grad(value, (x, y))
            assert value.dtype == torch.float32
            assert -1 - 1e-5 <= value <= 1 + 1e-5
            assert all(g.isfinite().all() for g in gradients)


@given(
    pairs=st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=2, max_size=8),
    data=st.data(),
)
@settings(max_examples=100, deadline=None)
def test_order_and_roles_do_not_matter_and_concordance_is_the_smaller(pairs, data):
    order = data.draw(st.permutations(range(len(pairs))))
    x, y = torch.tensor(pairs, dtype=torch.float64).T
    for function in (pcc, ccc):
        torch.testing.assert_close(function(x, y), function(x[order], y[order]))
        torch.testing.assert_close(function(x, y), function(y, x))
    assert ccc(x, y).abs() <= pcc(x, y).abs() + 1e-9


def test_misuse_is_told_in_a_sentence():
    with pytest.raises(ValueError, match="one shape"):
        pcc(torch.zeros(3, 2), torch.zeros(3))
    with pytest.raises(ValueError, match="one shape"):
        ccc(torch.zeros(3, 2, 2), torch.zeros(3, 2, 2))
    with pytest.raises(ValueError, match="at least one sample"):
        pcc(torch.zeros(0, 2), torch.zeros(0, 2))
