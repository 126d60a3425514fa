import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avce_pl.functional.similarity import (
    angle,
    angular_similarity,
    direction,
    intensity,
    intensity_similarity,
    official_angular_similarity,
    valence_sign_differs,
)
from tests.support import reference

PAIRWISE = [
    angle,
    angular_similarity,
    official_angular_similarity,
    intensity_similarity,
    valence_sign_differs,
]
X, Y_A, Y_N = (torch.tensor(v, dtype=torch.float64) for v in (reference.X, reference.Y_A, reference.Y_N))


def vectors(size):
    return st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=size, max_size=size)


@pytest.mark.parametrize(
    ("y", "expected", "gradient"),
    [
        ([0.6, 0.8], 1.0, [0.0, 0.0]),
        ([-0.3, -0.4], 0.0, [0.0, 0.0]),
        ([-0.4, 0.3], 0.5, [-0.5092958178941, 0.3819718634205]),
        ([0.0, 0.0], 0.5, [0.0, 0.0]),
    ],
    ids=["parallel", "antiparallel", "orthogonal", "zero"],
)
def test_angular_similarity_of_the_worked_example(y, expected, gradient):
    x = torch.tensor([0.3, 0.4], dtype=torch.float64, requires_grad=True)
    value = angular_similarity(x, torch.tensor(y, dtype=torch.float64))
    value.backward()
    assert value.item() == pytest.approx(expected, abs=1e-12)
    assert x.grad.tolist() == pytest.approx(gradient, abs=1e-12)


def test_official_angular_similarity_of_the_worked_example():
    positive, negative = official_angular_similarity(X, Y_A), official_angular_similarity(X, Y_N)
    assert positive.tolist() == pytest.approx([0.9162406, 0.9159276, 0.9143285, 0.9157773], abs=5e-8)
    assert negative.tolist() == pytest.approx([0.8727926, 0.8623647, 0.9166667, 0.8356715], abs=5e-8)


@pytest.mark.parametrize("size", [2, 3, 7])
def test_parts_match_the_reference(size):
    x, y = torch.randn(2, 20, size, generator=torch.Generator().manual_seed(size), dtype=torch.float64)
    rows = list(zip(x.tolist(), y.tolist(), strict=True))
    assert angle(x, y).tolist() == pytest.approx([reference.angle(a, b) for a, b in rows], rel=1e-9)
    assert intensity(x).tolist() == pytest.approx([reference.norm(a) for a, _ in rows], rel=1e-12)
    official = [reference.official_terms(a, b, sigma=0)[0] for a, b in rows]
    assert official_angular_similarity(x, y).tolist() == pytest.approx(official, rel=1e-12)
    signs = [float(reference.sign(a[0]) != reference.sign(b[0])) for a, b in rows]
    assert valence_sign_differs(x, y).tolist() == signs


@pytest.mark.parametrize("function", PAIRWISE)
@pytest.mark.parametrize("size", [2, 3])
def test_all_pairs_by_broadcasting(function, size):
    x, y = torch.randn(4, size), torch.randn(3, size)
    table = function(x[:, None], y[None])
    assert table.shape == (4, 3)
    for i in range(4):
        for j in range(3):
            torch.testing.assert_close(table[i, j], function(x[i], y[j]))


@pytest.mark.parametrize("size", [2, 3, 7])
def test_small_angles_keep_their_digits(size):
    x, y = torch.zeros(2, size, dtype=torch.float64)
    x[0], y[0], y[1] = 1, 1, 1e-9
    assert angle(x, y).item() == pytest.approx(1e-9, rel=1e-6)
    assert angle(x, -y).item() == pytest.approx(math.pi - 1e-9, rel=1e-12)


@pytest.mark.parametrize("function", [angle, official_angular_similarity, intensity_similarity])
@pytest.mark.parametrize("size", [2, 5])
def test_gradients(function, size):
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(2, 6, size, generator=generator, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(function, (x, y))


HOSTILE = {
    "zero": ([0.0, 0.0, 0.0], [0.3, 0.4, 0.1]),
    "both zero": ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
    "identical": ([0.3, 0.4, 0.1], [0.3, 0.4, 0.1]),
    "parallel": ([0.3, 0.4, 0.1], [0.9, 1.2, 0.3]),
    "antiparallel": ([0.3, 0.4, 0.1], [-0.3, -0.4, -0.1]),
    "tiny": ([1e-30, -1e-30, 1e-30], [1e-30, 1e-30, 1e-30]),
    "subnormal": ([1e-40, 0.0, 0.0], [0.0, 1e-40, 0.0]),
    "huge": ([1e18, -1e18, 1e18], [1e18, 1e18, 1e18]),
    "tiny and huge": ([1e-30, 0.0, 0.0], [0.0, 1e18, 0.0]),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("function", [angle, official_angular_similarity, intensity_similarity])
def test_values_and_gradients_are_finite(function, case, size, dtype):
    x, y = (torch.tensor(v[:size], dtype=dtype, requires_grad=True) for v in HOSTILE[case])
    value = function(x, y)
    value.backward()
    assert value.dtype == torch.promote_types(dtype, torch.float32)
    assert value.isfinite()
    assert x.grad.isfinite().all()
    assert y.grad.isfinite().all()


@pytest.mark.parametrize("length", [1e-30, 1.0, 1e18, 1e38])
def test_intensity_neither_underflows_nor_overflows(length):
    x = torch.tensor([0.6 * length, 0.8 * length], requires_grad=True)
    value = intensity(x)
    value.backward()
    assert value.item() == pytest.approx(length, rel=1e-6)
    assert x.grad.tolist() == pytest.approx([0.6, 0.8], rel=1e-6)


def test_intensity_has_zero_gradient_at_zero():
    x = torch.zeros(2, requires_grad=True)
    intensity(x).backward()
    assert x.grad.tolist() == [0, 0]


def test_direction_is_the_released_unit_vector():
    x = torch.tensor([[3.0, 4.0], [3e-30, 4e-30], [0.0, 0.0], [3e38, 0.0]])
    expected = torch.tensor([[0.6, 0.8], [3e-24, 4e-24], [0.0, 0.0], [1.0, 0.0]])
    torch.testing.assert_close(direction(x, eps=1e-6), expected, atol=0, rtol=1e-6)


@given(x=vectors(2), y=vectors(2))
@settings(max_examples=300, deadline=None)
def test_properties_in_the_plane(x, y):
    x, y = torch.tensor(x), torch.tensor(y)
    theta = angle(x, y)
    assert 0 <= theta <= math.pi + 1e-6
    assert theta == angle(y, x)
    assert 0 <= angular_similarity(x, y) <= 1
    assert 5 / 6 - 1e-6 <= official_angular_similarity(x, y) <= 11 / 12 + 1e-6
    assert intensity_similarity(x, y).isfinite()
    assert intensity_similarity(x, y) <= 1


@given(x=vectors(4), y=vectors(4))
@settings(max_examples=300, deadline=None)
def test_properties_in_more_dimensions(x, y):
    x, y = torch.tensor(x), torch.tensor(y)
    theta = angle(x, y)
    assert 0 <= theta <= math.pi + 1e-6
    assert theta == angle(y, x)
    assert 5 / 6 - 1e-6 <= official_angular_similarity(x, y) <= 11 / 12 + 1e-6
    assert intensity_similarity(x, y).isfinite()


@given(
    x=st.tuples(*[st.floats(-1, 1)] * 2).filter(lambda v: reference.norm(v) > 1e-3),
    scale=st.floats(1e-20, 1e20),
    turn=st.floats(0, math.pi),
)
@settings(max_examples=100, deadline=None)
def test_angle_is_the_turn_whatever_the_length(x, scale, turn):
    x = torch.tensor(x, dtype=torch.float64)
    c, s = math.cos(turn), math.sin(turn)
    turned = scale * torch.stack([c * x[0] - s * x[1], s * x[0] + c * x[1]])
    assert angle(x, turned).item() == pytest.approx(turn, abs=1e-12)


def test_zero_has_a_sign_of_its_own():
    x = torch.tensor([[0.0, 1.0], [-0.0, 1.0], [0.0, 1.0], [-0.1, 1.0]])
    y = torch.tensor([[0.0, 1.0], [0.0, 1.0], [0.1, 1.0], [-1e-9, -1.0]])
    assert valence_sign_differs(x, y).tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_not_hidden(bad):
    x, y = torch.tensor([bad, 0.1]), torch.tensor([0.3, 0.4])
    for function in (angle, official_angular_similarity, intensity_similarity):
        assert function(x, y).isnan()


@pytest.mark.parametrize("function", PAIRWISE)
@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.zeros(3, 2), torch.zeros(3, 4), "same size"),
        (torch.zeros(3, 1), torch.zeros(3, 1), "k >= 2"),
        (torch.zeros(()), torch.zeros(()), "same size"),
        (torch.zeros(0, 2), torch.zeros(0, 2), "at least one sample"),
        (torch.zeros(3, 2, dtype=torch.int64), torch.zeros(3, 2), "floating-point"),
        (torch.zeros(3, 2, dtype=torch.complex64), torch.zeros(3, 2), "floating-point"),
    ],
)
def test_misuse_is_told_in_a_sentence(function, x, y, message):
    with pytest.raises(ValueError, match=message):
        function(x, y)


def test_a_float32_vector_too_short_for_a_gradient_is_a_zero_vector_beside_float64_too() -> None:
    x = torch.tensor([[1.4013e-45, 0.0]], requires_grad=True)
    theta = angle(x, torch.tensor([[0.7, 0.4]], dtype=torch.float64))
    assert theta.item() == pytest.approx(math.pi / 2)
    assert torch.equal(torch.autograd.grad(theta.sum(), x)[0], torch.zeros_like(x))
