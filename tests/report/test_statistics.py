"""Intervals, tests and analyses against slow, obvious ones, and against what they promise."""

import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from avce_pl.report.statistics import (
    RESAMPLES,
    calibration,
    ccc_difference,
    gini,
    intervals,
    mean_difference,
    plane_errors,
    resample,
    resampling_unit,
)


def predictions(people: int = 12, each: int = 15, seed: int = 0, slope: float = 0.7) -> pd.DataFrame:
    """Predictions whose errors belong to people more than to images."""
    rng = np.random.default_rng(seed)
    label = rng.uniform(-1, 1, (people * each, 2))
    offset = np.repeat(rng.normal(0, 0.4, (people, 2)), each, axis=0)
    predicted = slope * label + offset + rng.normal(0, 0.1, label.shape)
    columns = {"valence": label[:, 0], "arousal": label[:, 1]}
    columns |= {"predicted_valence": predicted[:, 0], "predicted_arousal": predicted[:, 1]}
    return pd.DataFrame(columns | {"subject": np.repeat([f"p{i}" for i in range(people)], each)})


def ccc(y: np.ndarray, p: np.ndarray) -> float:
    return float(2 * np.cov(y, p, bias=True)[0, 1] / (y.var() + p.var() + (y.mean() - p.mean()) ** 2))


def slow_ends(drawn: list[float], groups: int) -> np.ndarray:
    """Expanded percentiles."""
    half = scipy.stats.t(groups - 1).ppf(0.975) * math.sqrt(groups / (groups - 1))
    low = scipy.stats.norm.cdf(-half)
    return np.quantile(drawn, (low, 1 - low))


@pytest.mark.parametrize("unit", [None, "subject"])
def test_intervals_are_those_of_a_plain_bootstrap(unit: str | None) -> None:
    table = predictions()
    found = intervals(table, unit)
    y, p = table["arousal"].to_numpy(), table["predicted_arousal"].to_numpy()
    assert found["ccc_arousal"][0] == pytest.approx(ccc(y, p))
    assert found["pcc_arousal"][0] == pytest.approx(np.corrcoef(y, p)[0, 1])
    assert found["rmse_arousal"][0] == pytest.approx(np.sqrt(np.mean((y - p) ** 2)))
    assert found["sagr_arousal"][0] == pytest.approx(np.mean(np.sign(y) == np.sign(p)))
    rng = np.random.default_rng(7)
    groups = [np.flatnonzero(table["subject"] == s) for s in table["subject"].unique()] if unit else np.arange(len(y))
    drawn = []
    for _ in range(RESAMPLES):
        chosen = [groups[i] for i in rng.integers(len(groups), size=len(groups))]
        rows = np.concatenate(chosen) if unit else np.array(chosen)
        drawn.append(ccc(y[rows], p[rows]))
    np.testing.assert_allclose(found["ccc_arousal"][1:], slow_ends(drawn, len(groups)), atol=0.03)


def test_people_not_images_are_resampled() -> None:
    table = predictions()
    (_, low, high), (_, narrow_low, narrow_high) = (intervals(table, unit)["ccc_valence"] for unit in ("subject", None))
    assert high - low > 1.5 * (narrow_high - narrow_low)


def test_a_constant_prediction_has_no_agreement() -> None:
    found = intervals(predictions().assign(predicted_valence=0.2), "subject")
    assert found["ccc_valence"] == pytest.approx((0, 0, 0), abs=1e-9)
    assert found["pcc_valence"][0] == pytest.approx(0, abs=1e-6)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    everybody = predictions(20_000, 10, seed=99)
    truth = ccc(everybody["valence"].to_numpy(), everybody["predicted_valence"].to_numpy())
    found = [intervals(predictions(20, 10, seed), "subject")["ccc_valence"] for seed in range(100)]
    covered = np.mean([one.low <= truth <= one.high for one in found])
    assert 0.89 <= covered <= 0.99


def test_difference_is_that_of_a_paired_bootstrap() -> None:
    first, second = predictions(), predictions(slope=0.9)
    found = ccc_difference(first, second, "subject")["valence"]
    y = first["valence"].to_numpy()
    p, q = (table["predicted_valence"].to_numpy() for table in (first, second))
    assert found.value == pytest.approx(ccc(y, q) - ccc(y, p))
    people = [np.flatnonzero(first["subject"] == name) for name in first["subject"].unique()]
    rng = np.random.default_rng(3)
    drawn = []
    for _ in range(RESAMPLES):
        rows = np.concatenate([people[i] for i in rng.integers(len(people), size=len(people))])
        drawn.append(ccc(y[rows], q[rows]) - ccc(y[rows], p[rows]))
    low, high = slow_ends(drawn, len(people))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.01)
    assert (found.p < 0.05) == (not low <= 0 <= high)


def test_equal_runs_do_not_differ() -> None:
    found = ccc_difference(predictions(), predictions(), "subject")["arousal"]
    assert found.value == found.low == found.high == 0
    assert found.p == pytest.approx(1)


def test_no_difference_is_found_where_there_is_none_more_often_than_promised() -> None:
    rng = np.random.default_rng(5)
    group = np.repeat(np.arange(15), 4)
    values = [rng.normal(size=15)[group] + rng.normal(size=60) for _ in range(250)]
    rejected = np.mean([mean_difference(one, group).p < 0.05 for one in values])
    assert 0.02 <= rejected <= 0.085
    assert mean_difference(values[0] + 3, group).p < 0.01


def test_an_interval_excludes_zero_exactly_where_the_test_rejects() -> None:
    rng = np.random.default_rng(6)
    for shift in np.linspace(0.2, 0.9, 15):
        found = mean_difference(rng.normal(shift, 1, 12), np.arange(12))
        if abs(found.p - 0.05) > 0.005:  # the smallest tail counts one more
            assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


def test_draws_are_the_same_whatever_fits_into_memory() -> None:
    sums = np.random.default_rng(0).normal(size=(30, 2))
    rng = np.random.default_rng(0)
    whole = rng.multinomial(30, np.full(30, 1 / 30), size=RESAMPLES) @ sums
    np.testing.assert_allclose(resample(sums), whole)
    many = np.ones((5000, 1))  # more than one block
    np.testing.assert_allclose(resample(many), 5000)


def test_people_come_before_videos_and_images() -> None:
    table = pd.DataFrame({"subject": ["a", "b"], "video": ["1", "2"]})
    assert resampling_unit(table) == "subject"
    assert resampling_unit(table.assign(subject=["a", ""])) == "video"
    assert resampling_unit(table.assign(subject="", video="")) is None


def test_calibration_is_the_mean_label_of_each_bin() -> None:
    table = predictions()
    found = calibration(table, "valence", "subject", bins=5)
    edges = np.array([-0.6, -0.2, 0.2, 0.6])
    bins = np.searchsorted(edges, table["predicted_valence"], side="right")
    for position, code in enumerate(np.unique(bins)):
        rows = table[bins == code]
        assert found.faces[position] == len(rows)
        assert found.label[position] == pytest.approx(rows["valence"].mean())
        assert found.predicted[position] == pytest.approx(rows["predicted_valence"].mean())
    assert (found.low <= found.label + 1e-12).all()
    assert (found.high >= found.label - 1e-12).all()


def test_errors_are_where_the_labels_are() -> None:
    columns = {"valence": [-1.0, 0.05, 0.15, 1.0], "arousal": [-1.0, 0.1, 0.1, 1.0]}
    predicted = {"predicted_valence": [-0.5, 0.15, 0.45, 1.0], "predicted_arousal": [0.0, 0.1, 0.1, -1.0]}
    count, errors = plane_errors(pd.DataFrame(columns | predicted))
    assert count.sum() == 4
    assert (count[0, 0], count[5, 5], count[9, 9]) == (1, 2, 1)
    assert errors["valence"][0, 0] == pytest.approx(0.5)
    assert errors["valence"][5, 5] == pytest.approx(0.2)
    assert errors["arousal"][9, 9] == pytest.approx(2)
    assert np.isnan(errors["arousal"]).sum() == 97


def test_gini_is_half_the_relative_mean_difference() -> None:
    maps = np.random.default_rng(0).exponential(size=(4, 9))
    slow = [np.abs(m[:, None] - m).mean() / (2 * m.mean()) for m in maps]
    np.testing.assert_allclose(gini(maps), slow)
    assert gini(np.ones((1, 9)))[0] == pytest.approx(0)
    assert gini(np.eye(9)[:1])[0] == pytest.approx(8 / 9)
    assert np.isnan(gini(np.zeros((1, 9)))[0])
