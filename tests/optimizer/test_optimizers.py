from itertools import pairwise

import pytest
from torch import nn

from avce_pl.optimizer.cosine import Cosine
from avce_pl.optimizer.periodic_decay import PeriodicDecay
from avce_pl.optimizer.step_decay import StepDecay


def test_step_decay_has_the_released_milestones() -> None:
    optimizer = StepDecay()
    for batch, times in ((0, 0), (4_999, 0), (5_000, 1), (25_000, 2), (64_999, 3), (65_000, 4), (10**6, 5)):
        assert optimizer.factor(batch, 1) == pytest.approx(0.8**times)


def test_cosine_rises_then_falls_to_zero() -> None:
    curve = [Cosine(warmup=0.1).factor(batch, 100) for batch in range(101)]
    assert curve[0] == pytest.approx(0.1)
    assert max(curve) == pytest.approx(1)
    assert curve.index(max(curve)) in (9, 10)
    assert all(a >= b for a, b in pairwise(curve[10:]))
    assert curve[100] == pytest.approx(0)


def test_cosine_of_a_single_batch() -> None:
    assert Cosine().factor(0, 1) == 1


def test_optimizers_are_those_of_the_released_code() -> None:
    optimizer = StepDecay()
    trunk, heads = optimizer.trunk(nn.Linear(2, 2).parameters(), scale=2), optimizer.heads(nn.Linear(2, 2).parameters())
    assert trunk.param_groups[0]["lr"] == pytest.approx(2e-4)
    assert tuple(trunk.param_groups[0]["betas"]) == (0.5, 0.9)
    assert heads.param_groups[0]["lr"] == pytest.approx(1e-2)
    assert heads.param_groups[0]["momentum"] == pytest.approx(0.9)


def test_periodic_decay_has_the_released_period() -> None:
    optimizer = PeriodicDecay()
    for batch, times in ((0, 0), (4_999, 0), (5_000, 1), (12_345, 2), (100_000, 20)):
        assert optimizer.factor(batch, 1) == pytest.approx(0.9**times)
