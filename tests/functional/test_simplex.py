import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from avce_pl.functional.simplex import sparsemax
from tests.support.reference_transforms import sparsemax_row, sparsemax_row_vjp

FIVE = [1.1, 0.9, 0.6, 0.2, 0.0]
latents = arrays(
    np.float64,
    array_shapes(min_dims=1, max_dims=3, max_side=6),
    elements=st.floats(-1e4, 1e4) | st.sampled_from([0.0, 0.5, 1.0, 1.5]),  # the latter make ties
).map(torch.from_numpy)


@pytest.mark.parametrize(
    ("latent", "expected"),
    [
        ([0.2, 0.1, 0.0], [0.4333333, 0.3333333, 0.2333333]),
        (FIVE, [0.5666667, 0.3666667, 0.0666667, 0, 0]),
        ([2, 0.5, -1], [1, 0, 0]),
        ([0.7] * 4, [0.25] * 4),
        ([3.0], [1]),
        ([float("-inf"), 0.5, 0.5], [0, 0.5, 0.5]),
    ],
)
def test_reference_values(latent, expected):
    torch.testing.assert_close(
        sparsemax(torch.tensor(latent, dtype=torch.float64)),
        torch.tensor(expected, dtype=torch.float64),
        atol=5e-8,
        rtol=0,
    )


@pytest.mark.parametrize(
    ("latent", "expected"), [(FIVE, [-1, 0, 1, 0, 0]), ([2, 0.5, -1, -1, -1], [0] * 5), ([1.0] * 5, [-2, -1, 0, 1, 2])]
)
def test_reference_gradients(latent, expected):
    latent = torch.tensor(latent, dtype=torch.float64, requires_grad=True)
    sparsemax(latent).backward(torch.arange(1.0, 6.0, dtype=torch.float64))
    torch.testing.assert_close(latent.grad, torch.tensor(expected, dtype=torch.float64))


@settings(deadline=None)
@given(latents)
def test_rows_are_the_projection_onto_the_simplex(latent):
    sparse = sparsemax(latent)
    assert sparse.min() >= 0
    torch.testing.assert_close(sparse.sum(-1), torch.ones(latent.shape[:-1], dtype=torch.float64))
    expected = np.apply_along_axis(sparsemax_row, -1, latent.numpy())
    np.testing.assert_allclose(sparse.numpy(), expected, atol=1e-11)


@settings(deadline=None)
@given(latents, st.floats(-100, 100), st.randoms(use_true_random=False))
def test_symmetries(latent, offset, random):
    sparse = sparsemax(latent)
    order = random.sample(range(latent.shape[-1]), latent.shape[-1])
    assert torch.equal(sparsemax(latent[..., order]), sparse[..., order])
    torch.testing.assert_close(sparsemax(latent + offset), sparse, atol=1e-10, rtol=0)
    # The order of the entries survives.
    rank = latent.argsort(-1)
    assert (sparse.gather(-1, rank).diff(dim=-1) >= 0).all()


@settings(deadline=None)
@given(latents)
def test_the_derivative_is_that_of_the_support_at_ties_too(latent):
    latent = latent.reshape(-1, latent.shape[-1]).requires_grad_()
    sparse = sparsemax(latent)
    grad = torch.linspace(-1, 2, latent.numel(), dtype=torch.float64).reshape(latent.shape)
    sparse.backward(grad)
    support = (sparse > 0).double().detach()
    mean = (grad * support).sum(-1, keepdim=True) / support.sum(-1, keepdim=True)
    torch.testing.assert_close(latent.grad, support * (grad - mean))


def test_first_and_second_derivatives():
    generator = torch.Generator().manual_seed(0)
    latent = torch.randn(4, 3, 6, dtype=torch.float64, generator=generator, requires_grad=True)
    assert torch.autograd.gradcheck(sparsemax, latent)
    assert torch.autograd.gradgradcheck(sparsemax, latent)


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0, 1e4])
def test_float32_is_as_exact_as_float32_gets(scale):
    generator = torch.Generator().manual_seed(1)
    latent = (torch.randn(256, 32, generator=generator) * scale).requires_grad_()
    grad = torch.randn(256, 32, generator=generator)
    sparse = sparsemax(latent)
    sparse.backward(grad)
    rows = latent.detach().double().numpy()
    assert np.abs(sparse.detach().numpy() - [sparsemax_row(row) for row in rows]).max() <= 2e-7
    expected = [sparsemax_row_vjp(row, g) for row, g in zip(rows, grad.double().numpy(), strict=True)]
    assert np.abs(latent.grad.numpy() - expected).max() <= 4e-7


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_rounds_only_the_result(dtype, autocast):
    generator = torch.Generator().manual_seed(2)
    latent = torch.randn(64, 32, generator=generator).to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        sparse = sparsemax(latent)
    grad = torch.randn(64, 32, generator=generator).to(dtype)
    sparse.backward(grad)
    exact = latent.detach().float().requires_grad_()
    sparsemax(exact).backward(grad.float())
    assert sparse.dtype == latent.grad.dtype == dtype
    assert torch.equal(sparse, sparsemax(exact).to(dtype))
    assert torch.equal(latent.grad, exact.grad.to(dtype))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_broken_row_comes_out_as_nan_and_leaves_the_others_alone(bad):
    latent = torch.tensor([[0.0, bad, 1.0], [0.2, 0.1, 0.0], [float("-inf")] * 3], requires_grad=True)
    sparse = sparsemax(latent)
    sparse.backward(torch.tensor([1.0, 2.0, 3.0]).expand(3, 3))
    for row in (0, 2):
        assert sparse[row].isnan().all()
        assert latent.grad[row].isnan().all()
    torch.testing.assert_close(sparse[1], torch.tensor([0.4333333, 0.3333333, 0.2333333]))
    torch.testing.assert_close(latent.grad[1], torch.tensor([-1.0, 0.0, 1.0]))


def test_debug_mode_refuses_what_is_not_finite():
    with torch.autograd.set_detect_anomaly(True), pytest.raises(ValueError, match=r"got 2 NaN or infinite entries"):
        sparsemax(torch.tensor([[0.0, float("nan")], [float("inf"), 0.0]]))


@pytest.mark.parametrize("latent", [torch.zeros(2, 3, dtype=torch.long), torch.tensor(1.0), torch.zeros(3, 0)])
def test_misuse_is_named(latent):
    with pytest.raises(ValueError, match="floating-point tensor with a non-empty last dimension"):
        sparsemax(latent)


def test_an_empty_batch_stays_empty():
    assert sparsemax(torch.zeros(0, 5)).shape == (0, 5)
