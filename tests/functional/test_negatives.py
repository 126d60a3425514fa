import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avce_pl.functional.negatives import (
    UNIFORM,
    NegativeWeights,
    draw_hard,
    importance_log_weights,
    keep_all,
    keep_highest,
    keep_lowest,
    log_negative_mean_exp,
    negative_mean,
)
from tests.support import reference

CRITERIA = {
    "all": keep_all,
    "lowest": lambda s: keep_lowest(s, 0.8),
    "highest": lambda s: keep_highest(s, 0.8),
    "draw": lambda s: draw_hard(s, 0.8, 1.0, torch.Generator().manual_seed(0)),
    "importance": lambda s: importance_log_weights(s, 1.0),
}
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize("criterion", CRITERIA.values(), ids=CRITERIA)
@given(scores=st.lists(finite, min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_weights_are_non_negative_with_mean_one(criterion, scores):
    weights = NegativeWeights(criterion(torch.tensor(scores))).weights
    assert (weights >= 0).all()
    assert weights.mean().item() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("criterion", CRITERIA.values(), ids=CRITERIA)
def test_each_anchor_has_its_own_weights(criterion):
    weights = criterion(torch.randn(6, 5)).exp()
    torch.testing.assert_close(weights.mean(-1), torch.ones(6))


@pytest.mark.parametrize("criterion", [keep_lowest, keep_highest])
@given(scores=st.lists(finite, min_size=1, max_size=12, unique=True), data=st.data())
@settings(max_examples=60, deadline=None)
def test_selection_follows_a_permutation(criterion, scores, data):
    order = data.draw(st.permutations(range(len(scores))))
    # Beyond the range of scores the values are tied by the clamp.
    scores = torch.tensor(scores).clamp(-4e9, 4e9).unique()
    order = torch.tensor([i for i in order if i < len(scores)])
    assert criterion(scores, 0.6)[order].equal(criterion(scores[order], 0.6))


@pytest.mark.parametrize(
    ("count", "share", "kept"),
    [(4, 0.8, 3), (5, 0.8, 4), (10, 0.8, 8), (100, 0.29, 29), (7, 1.0, 7), (1, 0.8, 1), (3, 0.1, 1)],
)
@pytest.mark.parametrize("criterion", [keep_lowest, keep_highest, lambda s, share: draw_hard(s, share, 1.0)])
def test_number_kept(criterion, count, share, kept):
    weights = NegativeWeights(criterion(torch.randn(count), share))
    assert (weights.weights > 0).sum() == kept
    assert weights.share_kept.item() == pytest.approx(kept / count)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, math.nan])
def test_share_outside_its_range(share):
    with pytest.raises(ValueError, match="share of negatives"):
        keep_lowest(torch.zeros(3), share)


def test_equal_scores_are_kept_in_order():
    assert keep_lowest(torch.zeros(5), 0.4).exp().tolist() == [2.5, 2.5, 0, 0, 0]
    assert keep_highest(torch.zeros(5), 0.4).exp().tolist() == [2.5, 2.5, 0, 0, 0]


def test_draws_have_the_probabilities_of_drawing_one_after_the_other():
    scores, concentration, kept, repeats = [0.2, 1.1, -0.4, 0.7], 1.5, 2, 40_000
    powers = [math.exp(concentration * s) for s in scores]
    probability = [0.0] * 4
    for first, second in itertools.permutations(range(4), kept):
        p = powers[first] / sum(powers) * powers[second] / (sum(powers) - powers[first])
        probability[first] += p
        probability[second] += p
    generator = torch.Generator().manual_seed(0)
    drawn = draw_hard(torch.tensor(scores).expand(repeats, 4), kept / 4, concentration, generator).exp() > 0
    assert drawn.double().mean(0).tolist() == pytest.approx(probability, abs=0.01)


def test_draws_repeat_with_the_generator_and_differ_without():
    scores = torch.randn(200)

    def draw(seed):
        return draw_hard(scores, 0.5, 1.0, torch.Generator().manual_seed(seed))

    assert draw(3).equal(draw(3))
    assert not draw(3).equal(draw(4))
    torch.manual_seed(5)
    first = draw_hard(scores, 0.5, 1.0)
    assert not first.equal(draw_hard(scores, 0.5, 1.0))


def test_importance_weights_match_the_reference():
    scores = [0.2, 1.1, -0.4, 0.7]
    weights = importance_log_weights(torch.tensor(scores, dtype=torch.float64), 1.7).exp()
    assert weights.tolist() == pytest.approx(reference.importance(scores, 1.7))


def test_selection_carries_no_gradient_and_importance_does():
    scores = torch.randn(5, requires_grad=True)
    for name, criterion in CRITERIA.items():
        assert criterion(scores).requires_grad is (name == "importance")


@pytest.mark.parametrize("prior", [0.0, 0.1, 0.6])
def test_expectations_match_the_reference(prior):
    negative, positive = [0.2, 1.1, -0.4, 0.7], [1.5, 0.9]
    weights = reference.importance(negative, 1.0)
    as_weights = NegativeWeights(torch.tensor(weights, dtype=torch.float64).log(), prior)
    n, p = (torch.tensor(v, dtype=torch.float64) for v in (negative, positive))
    expected = reference.expectation(negative, positive, weights, prior)
    assert negative_mean(n, p, as_weights).item() == pytest.approx(expected, rel=1e-12)
    g_n, g_p = ([math.exp(s) for s in v] for v in (negative, positive))
    expected = max(reference.expectation(g_n, g_p, weights, prior), math.exp(-0.2))
    assert log_negative_mean_exp(n, p, as_weights, floor=-0.2).item() == pytest.approx(math.log(expected))


def test_floor_acts_under_a_correction_alone():
    low, high = torch.full((3,), -2.0), torch.full((3,), 5.0)
    assert log_negative_mean_exp(low, high, NegativeWeights(torch.zeros(3), 0.1), floor=-1.0) == -1
    assert log_negative_mean_exp(low, high, UNIFORM, floor=-1.0).item() == pytest.approx(-2)


def test_gradients():
    n, p = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64).requires_grad_()

    def corrected(n, p):
        return log_negative_mean_exp(n, p - 3, NegativeWeights(importance_log_weights(n, 0.7), 0.1), floor=-50.0)

    assert torch.autograd.gradcheck(corrected, (n, p))


@given(
    negative=st.lists(finite, min_size=1, max_size=6),
    positive=st.lists(finite, min_size=1, max_size=6),
    prior=st.sampled_from([0.0, 0.1, 0.9]),
)
@settings(max_examples=200, deadline=None)
def test_log_expectation_is_finite(negative, positive, prior):
    n, p = (torch.tensor(v).clamp(-4e9, 4e9).requires_grad_() for v in (negative, positive))
    weights = NegativeWeights(importance_log_weights(n, 1.0), prior)
    value = log_negative_mean_exp(n, p, weights, floor=0.0)
    (value + 0 * p.sum()).backward()
    assert value.isfinite()
    assert n.grad.isfinite().all()
    assert p.grad.isfinite().all()


@pytest.mark.parametrize("scores", [torch.zeros(0), torch.zeros(3, dtype=torch.int64)])
@pytest.mark.parametrize("criterion", CRITERIA.values(), ids=CRITERIA)
def test_misuse_is_told_in_a_sentence(criterion, scores):
    with pytest.raises(ValueError, match=r"The losses (take|need)"):
        criterion(scores)
