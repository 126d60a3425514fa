import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avce_pl.functional.contrastive import (
    avce_objective,
    barlow_twins_loss,
    cross_correlation,
    infonce_cross_loss,
    infonce_loss,
    scores_of_other_faces,
    views_of_next_face,
)
from avce_pl.functional.negatives import NegativeWeights
from tests.support import reference

X, Y_A, Y_N = (torch.tensor(v, dtype=torch.float64) for v in (reference.X, reference.Y_A, reference.Y_N))
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
batches = st.integers(1, 5).flatmap(
    lambda n: st.lists(st.lists(finite, min_size=2, max_size=2), min_size=n, max_size=n)
)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def test_relative_predictive_coding_objective():
    scores = torch.arange(16, dtype=torch.float64).reshape(4, 4) / 10
    others = scores[~torch.eye(4, dtype=torch.bool)]
    assert avce_objective(scores.diagonal(), others).item() == pytest.approx(0.1873958333333, abs=1e-12)
    assert avce_objective(scores.diagonal()[:, None], scores_of_other_faces(scores)).item() == pytest.approx(
        0.1873958333333, abs=1e-12
    )


@given(count=st.integers(1, 9), seed=st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_faces_of_a_batch_meet_the_others_and_never_themselves(count, seed):
    scores = torch.randn(count, count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert scores_of_other_faces(scores).tolist() == reference.of_other_faces(scores.tolist())
    views = views_of_next_face(scores, scores.T)
    for view, own in zip(views, (scores, scores.T), strict=True):
        assert view.tolist() == reference.of_next_face(own.tolist())


def test_avce_optimum_is_where_relative_predictive_coding_has_it():
    """Two values of (x, y) with density ratio r: f* = (r − α)/(βr + γ) is stationary and a maximum."""
    joint, marginal = tensor([0.8, 0.2]), tensor([0.4, 0.6])  # weights of the two values, r = 2 and 1/3
    ratio = joint / marginal
    best = (ratio - 0.5) / (0.3 * ratio + 0.5)

    def objective(f):
        # Ten samples in the proportions of the two distributions.
        return avce_objective(
            f.repeat_interleave(torch.tensor([8, 2])),
            f.repeat_interleave(torch.tensor([4, 6])),
            0.5,
            0.3,
            0.5,
        )

    f = best.clone().requires_grad_()
    objective(f).backward()
    torch.testing.assert_close(f.grad, torch.zeros(2, dtype=torch.float64))
    assert objective(best) > objective(best + tensor([0.1, 0.0]))
    assert objective(best) > objective(best - tensor([0.0, 0.1]))


@pytest.mark.parametrize("prior", [0.0, 0.1])
@pytest.mark.parametrize("hard", [False, True])
def test_objectives_match_the_reference(prior, hard):
    positive, negative = torch.randn(2, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 1.5
    table = torch.randn(7, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    p, n, m = positive.tolist(), negative.tolist(), table.tolist()
    w = reference.importance(n, 2.0) if hard else None
    wm = [reference.importance(row, 2.0) for row in m] if hard else None
    weights = NegativeWeights(tensor(w or [1.0] * 7).log(), prior)
    table_weights = NegativeWeights(tensor(wm or [[1.0] * 5] * 7).log(), prior)
    options = {"prior": prior, "floor_score": -3.0}

    value = avce_objective(positive, negative, 0.3, 0.2, 0.7, weights)
    assert value.item() == pytest.approx(reference.avce(p, n, 0.3, 0.2, 0.7, w, prior), rel=1e-12)
    value = infonce_loss(positive, negative, 0.4, -3.0, weights)
    assert value.item() == pytest.approx(reference.infonce(p, n, 0.4, w, **options), rel=1e-12)
    value = infonce_cross_loss(positive, table, 0.4, -3.0, table_weights)
    assert value.item() == pytest.approx(reference.infonce_cross(p, m, 0.4, wm, **options), rel=1e-12)


def test_second_moment_stays_at_or_above_zero():
    corrected = avce_objective(tensor([3.0]), tensor([0.0]), weights=NegativeWeights(tensor([0.0]), 0.5))
    without_second_moment = 3.0 + 0.5 * 3.0 - 0.0025 * 9
    assert corrected.item() == pytest.approx(without_second_moment)


def test_floor_bounds_the_negatives():
    weights = NegativeWeights(torch.zeros(2, dtype=torch.float64), 0.5)
    value = infonce_loss(tensor([4.0, 4.0]), tensor([0.0, 0.0]), 2.0, 1.0, weights)
    assert value.item() == pytest.approx(1 / 2 - 4 / 2)
    value = infonce_cross_loss(tensor([4.0]), tensor([[0.0, 0.0]]), 2.0, 1.0, weights)
    assert value.item() == pytest.approx(-math.log(math.exp(2) / (math.exp(2) + 2 * math.exp(0.5))))


def test_barlow_twins_of_the_worked_example():
    assert barlow_twins_loss(X, Y_A, Y_N, negative_weight=0).item() == pytest.approx(0.0196692437613, abs=1e-12)
    assert barlow_twins_loss(X, Y_A, Y_N).item() == pytest.approx(0.0276190253069, abs=1e-12)


def test_barlow_twins_of_a_batch_with_itself():
    """By hand: Var x_V = .0725, Var x_A = .1725, Cov = −.06.

    The method's description prints .0029355327892 for it, 5e-8 below what its own formula gives.
    """
    eps = 1e-5
    off_diagonal = 0.06**2 / ((0.0725 + eps) * (0.1725 + eps))
    on_diagonal = (eps / (0.0725 + eps)) ** 2 + (eps / (0.1725 + eps)) ** 2
    value = barlow_twins_loss(X, X, Y_N, negative_weight=0).item()
    assert value == pytest.approx(on_diagonal + 2 * 0.0051 * off_diagonal, rel=1e-12)
    assert value == pytest.approx(0.0029355792089, abs=1e-13)


@pytest.mark.parametrize("prior", [0.0, 0.1])
@pytest.mark.parametrize("size", [2, 7])
def test_barlow_twins_matches_the_reference(size, prior):
    x, y, n = torch.randn(3, 6, size, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    w = reference.selection({0, 2, 3}, 6)
    value = barlow_twins_loss(x, y, n, 0.01, 0.3, weights=tensor(w), class_prior=prior)
    expected = reference.barlow_twins(x.tolist(), y.tolist(), n.tolist(), 0.01, 0.3, w, prior)
    assert value.item() == pytest.approx(expected, rel=1e-12)


def test_dropped_pairs_do_not_count_in_a_correlation():
    x, y = torch.randn(2, 6, 2, dtype=torch.float64)
    weights = tensor(reference.selection({0, 2, 3}, 6))
    torch.testing.assert_close(cross_correlation(x, y, weights=weights), cross_correlation(x[[0, 2, 3]], y[[0, 2, 3]]))


def test_gradients():
    generator = torch.Generator().manual_seed(4)
    p, n, m = (
        torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_() for shape in (4, 4, (4, 3))
    )
    x, y, z = torch.randn(3, 5, 2, generator=generator, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(avce_objective, (p, n))
    assert torch.autograd.gradcheck(lambda p, n: avce_objective(p[:, None], n), (p, m))
    assert torch.autograd.gradcheck(scores_of_other_faces, (m[:3],))
    assert torch.autograd.gradcheck(infonce_loss, (p, n))
    assert torch.autograd.gradcheck(infonce_cross_loss, (p, m))
    assert torch.autograd.gradcheck(barlow_twins_loss, (x, y, z))


@given(positive=st.lists(finite, min_size=1, max_size=5), prior=st.sampled_from([0.0, 0.1]), data=st.data())
@settings(max_examples=200, deadline=None)
def test_no_finite_score_makes_a_loss_or_gradient_nan(positive, prior, data):
    negative = data.draw(st.lists(finite, min_size=len(positive), max_size=len(positive)))
    for dtype in (torch.float32, torch.bfloat16):
        p, n = (torch.tensor(v, dtype=dtype).nan_to_num().requires_grad_() for v in (positive, negative))
        weights = NegativeWeights(torch.zeros(len(p)), prior)
        losses = [
            -avce_objective(p, n, weights=weights),
            infonce_loss(p, n, weights=weights),
            infonce_cross_loss(p, n.expand(len(p), -1), weights=weights),
        ]
        for loss in losses:
            gradients = torch.autograd.grad(loss, (p, n), allow_unused=True, materialize_grads=True)
            assert loss.dtype == torch.float32
            assert loss.isfinite()
            assert all(g.isfinite().all() for g in gradients)


@given(x=batches, scale=st.sampled_from([1.0, -1.0, 1e-20]))
@settings(max_examples=200, deadline=None)
def test_correlations_are_finite_and_within_one(x, scale):
    x = torch.tensor(x, requires_grad=True)
    c = cross_correlation(x, x.detach().flip(0) * scale)
    c.sum().backward()
    assert (c.abs() <= 1 + 1e-5).all()
    assert x.grad.isfinite().all()


@given(x=batches, data=st.data())
@settings(max_examples=60, deadline=None)
def test_barlow_twins_does_not_depend_on_the_order_of_the_batch(x, data):
    order = data.draw(st.permutations(range(len(x))))
    x = torch.tensor(x, dtype=torch.float64) / 3.5e38
    y, n = x.roll(1, 0) * tensor([1.0, -2.0]), x.square()
    torch.testing.assert_close(
        barlow_twins_loss(x, y, n), barlow_twins_loss(x[order], y[order], n[order]), atol=1e-9, rtol=1e-9
    )


def test_one_sample_correlates_with_nothing():
    x = torch.randn(1, 2, requires_grad=True)
    loss = barlow_twins_loss(x, x, x)
    loss.backward()
    assert loss == 2
    assert x.grad.tolist() == [[0, 0]]


def test_misuse_is_told_in_a_sentence():
    with pytest.raises(ValueError, match=r"\(N,\) and negative scores \(N, M\)"):
        infonce_cross_loss(torch.zeros(3), torch.zeros(3))
    with pytest.raises(ValueError, match=r"square \(N, N\) with N > 0; got \(4, 3\)"):
        scores_of_other_faces(torch.zeros(4, 3))
    with pytest.raises(ValueError, match="two \\(N, k\\) batches"):
        cross_correlation(torch.zeros(3, 2), torch.zeros(4, 2))
    with pytest.raises(ValueError, match="at least one sample"):
        avce_objective(torch.zeros(0), torch.zeros(0))
    with pytest.raises(ValueError, match="floating-point"):
        infonce_loss(torch.zeros(3, dtype=torch.int64), torch.zeros(3))
