"""The statistics behind intervals, tests and analyses of predictions, in float64.

Errors on faces of one person, or of one video, are correlated, so whole people or videos are resampled.
Intervals are expanded percentile intervals (Hesterberg, "What teachers should know about the bootstrap", 2015): with
few people, plain percentiles are too narrow. Intervals over trainings (seeds) are Student's t intervals.
"""

import math
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from avce_pl.report.metrics import AXES, METRICS, Array, Metric, terms

RESAMPLES = 2000
_AT_A_TIME = 2_000_000  # numbers of a block of draws


class Interval(NamedTuple):
    """A value and the ends of its 95% interval."""

    value: float
    low: float
    high: float


class Difference(NamedTuple):
    """A difference, the ends of its 95% interval, and the two-sided p-value of no difference."""

    value: float
    low: float
    high: float
    p: float


class PairedDifference(NamedTuple):
    """A mean difference, the ends of its interval (NaN for fewer than two pairs), and the number of pairs."""

    value: float
    low: float
    high: float
    pairs: int


class Calibration(NamedTuple):
    """Mean labels by size of the prediction; (B,) each, without empty bins.

    Attributes:
        predicted: Mean prediction in the bin.
        label: Mean label there.
        low: Lower end of the 95% interval of that mean.
        high: Its upper end.
        faces: Their number.
    """

    predicted: Array
    label: Array
    low: Array
    high: Array
    faces: Array


def resampling_unit(table: pd.DataFrame) -> str | None:
    """The column whose values are resampled: people where all are known, else videos, else none.

    People rather than videos, because the videos of one person then stay together.
    """
    return next((name for name in ("subject", "video") if (table[name].astype(str) != "").all()), None)


def intervals(table: pd.DataFrame, unit: str | None) -> dict[str, Interval]:
    """Metrics over all rows with bootstrap intervals, resampled by whole people or videos.

    Args:
        table: the columns valence, arousal, predicted_valence and predicted_arousal.
        unit: the column whose values are resampled; ``None`` resamples single rows.

    Returns:
        ``ccc_valence`` and so on -> value and interval.
    """
    found: dict[str, Interval] = {}
    for axis in AXES:
        sums = _sums(table, axis, unit, METRICS.values())
        value = _values(sums.sum(axis=0, keepdims=True), METRICS)
        drawn = _values(resample(sums), METRICS)
        for name in METRICS:
            found[f"{name}_{axis}"] = Interval(float(value[name][0]), *_ends(drawn[name], len(sums)).tolist())
    return found


def ccc_difference(first: pd.DataFrame, second: pd.DataFrame, unit: str | None) -> dict[str, Difference]:
    """CCC of the second predictions minus that of the first, by a paired bootstrap with the same draws for both.

    Args:
        first: as in `intervals`.
        second: other predictions of the same rows.
        unit: as in `intervals`.

    Returns:
        ``valence`` and ``arousal`` -> difference, interval and p-value.
    """
    found, chosen = {}, {"ccc": METRICS["ccc"]}
    for axis in AXES:
        sums = [_sums(table, axis, unit, chosen.values()) for table in (first, second)]
        before, after = (_values(one.sum(axis=0, keepdims=True), chosen)["ccc"] for one in sums)
        drawn_before, drawn_after = (_values(resample(one), chosen)["ccc"] for one in sums)  # the same seed and draws
        found[axis] = _difference(float(after[0] - before[0]), drawn_after - drawn_before, len(sums[0]))
    return found


def mean_interval(values: Array, comparisons: int = 1) -> Interval:
    """The mean of (N,) independent values with its 95% t interval; NaN ends for fewer than two values.

    Args:
        values: such as one metric of trainings that differ in the seed alone.
        comparisons: number of intervals that hold simultaneously; each is widened by Bonferroni's correction.
    """
    size = len(values)
    mean = float(values.mean()) if size else math.nan
    if size < 2:
        return Interval(mean, math.nan, math.nan)
    half = float(stdtrit(size - 1, 1 - 0.025 / comparisons)) * float(values.std(ddof=1)) / math.sqrt(size)
    return Interval(mean, mean - half, mean + half)


def paired_difference(
    values: Mapping[int, float], reference: Mapping[int, float], comparisons: int = 1
) -> PairedDifference:
    """The mean of `values` minus `reference`, each by seed, over the seeds that both have.

    Args:
        values: seed -> value.
        reference: seed -> value.
        comparisons: as in `mean_interval`.
    """
    seeds = sorted(values.keys() & reference.keys())
    differences = np.array([values[seed] - reference[seed] for seed in seeds], np.float64)
    return PairedDifference(*mean_interval(differences, comparisons), len(seeds))


def mean_difference(difference: Array, group: NDArray[np.int64]) -> Difference:
    """The mean of (N,) paired differences, resampled by whole groups, which are (N,) codes from 0."""
    sums = group_sums(np.stack([difference, np.ones(len(difference))], axis=1), group)
    drawn = resample(sums)
    return _difference(float(difference.mean()), drawn[:, 0] / drawn[:, 1], len(sums))


def calibration(table: pd.DataFrame, axis: str, unit: str | None, bins: int = 10) -> Calibration:
    """Mean label by bin of the prediction; the bins are equally wide over [-1, 1], the outer ones open.

    Args:
        table: as in `intervals`.
        axis: ``valence`` or ``arousal``.
        unit: as in `intervals`.
        bins: number of bins.
    """
    label, predicted = (table[name].to_numpy(np.float64) for name in (axis, f"predicted_{axis}"))
    member = np.eye(bins)[_bin(predicted, bins)]
    columns = np.concatenate([member, member * label[:, None], member * predicted[:, None]], axis=1)
    sums = group_sums(columns, groups(table, unit))
    count, labels, predictions = np.split(sums.sum(axis=0), 3)
    full = count > 0
    drawn_count, drawn_label, _ = np.split(resample(sums), 3, axis=1)
    with np.errstate(invalid="ignore"):
        drawn = np.where(drawn_count > 0, drawn_label / drawn_count, np.nan)[:, full]  # draws without a face in the bin
    low, high = _ends(drawn, len(sums))
    return Calibration(predictions[full] / count[full], labels[full] / count[full], low, high, count[full])


def plane_errors(table: pd.DataFrame, bins: int = 10) -> tuple[Array, dict[str, Array]]:
    """Number of faces and mean absolute errors over the valence/arousal plane.

    Args:
        table: as in `intervals`.
        bins: number of bins along each axis; the bins are squares over [-1, 1].

    Returns:
        (bins, bins) counts, by valence and arousal from -1 up, and ``valence`` and ``arousal`` -> (bins, bins) mean
        absolute errors, NaN in empty bins.
    """
    place = np.stack([_bin(table[axis].to_numpy(np.float64), bins) for axis in AXES])
    flat = np.ravel_multi_index((place[0], place[1]), (bins, bins))
    count = np.bincount(flat, minlength=bins * bins).astype(np.float64)
    errors = {}
    for axis in AXES:
        error = np.abs(table[f"predicted_{axis}"].to_numpy(np.float64) - table[axis].to_numpy(np.float64))
        total = np.bincount(flat, weights=error, minlength=bins * bins)
        mean = np.divide(total, count, out=np.full(bins * bins, np.nan), where=count > 0)
        errors[axis] = mean.reshape(bins, bins)
    return count.reshape(bins, bins), errors


def gini(maps: Array) -> Array:
    """How unequally a non-negative map is spread over its cells: (N, cells) -> (N,).

    0 for a uniform map and (cells - 1) / cells for a single cell; NaN for a map of zeros. Hurley and Rickard,
    "Comparing measures of sparsity" (2009).
    """
    cells = maps.shape[1]
    total = maps.sum(axis=1)
    rank = np.arange(1, cells + 1)
    weighted = 2 * np.sort(maps, axis=1) @ rank / cells
    found: Array = np.divide(weighted, total, out=np.full(len(maps), np.nan), where=total > 0) - (cells + 1) / cells
    return found


def groups(table: pd.DataFrame, unit: str | None) -> NDArray[np.int64]:
    """(N,) codes from 0 of the person or video of each row; with ``None`` each row is its own group."""
    return np.arange(len(table)) if unit is None else pd.factorize(table[unit])[0].astype(np.int64)


def group_sums(columns: Array, group: NDArray[np.int64]) -> Array:
    """Sums of (N, K) columns within groups, (N,) codes from 0: (G, K)."""
    size = int(group.max()) + 1
    return np.stack([np.bincount(group, weights=column, minlength=size) for column in columns.T], axis=1)


def resample(sums: Array) -> Array:
    """Sums over groups drawn with replacement, with the same draws in every call: (G, K) -> (RESAMPLES, K)."""
    size = len(sums)
    generator, step = np.random.default_rng(0), max(1, _AT_A_TIME // size)
    drawn = [
        generator.multinomial(size, np.full(size, 1 / size), size=min(step, RESAMPLES - start)) @ sums
        for start in range(0, RESAMPLES, step)
    ]
    return np.concatenate(drawn)


def _ends(drawn: Array, size: int) -> Array:
    """Lower and upper end of the interval of values drawn from `size` groups: (RESAMPLES, ...) -> (2, ...)."""
    low = ndtr(_expansion(size) * stdtrit(max(size - 1, 1), 0.025))
    ends: Array = np.nanquantile(drawn, (low, 1 - low), axis=0)
    return ends


def _difference(value: float, drawn: Array, size: int) -> Difference:
    """With the p-value at which an interval as in `_ends` would just reach 0."""
    tail = float(min(np.sum(drawn <= 0), np.sum(drawn >= 0)) + 1) / (len(drawn) + 1)
    p = 2 * float(stdtr(max(size - 1, 1), ndtri(min(tail, 0.5)) / _expansion(size)))
    low, high = _ends(drawn, size).tolist()
    return Difference(value, low, high, p)


def _expansion(size: int) -> float:
    return math.sqrt(max(size, 2) / (max(size, 2) - 1))


def _bin(values: Array, bins: int) -> NDArray[np.int64]:
    return np.clip(np.floor((values + 1) / 2 * bins), 0, bins - 1).astype(np.int64)


def _sums(table: pd.DataFrame, axis: str, unit: str | None, metrics: Iterable[Metric]) -> Array:
    """(G, 1 + K) sums of groups: their number of rows, and the terms of all metrics in turn."""
    columns = [term for metric in metrics for term in terms(table, axis, metric)]
    return group_sums(np.stack([np.ones(len(table)), *columns], axis=1), groups(table, unit))


def _values(sums: Array, metrics: Mapping[str, Metric]) -> dict[str, Array]:
    """The metrics of (R, 1 + K) sums as in `_sums`, (R,) each."""
    means = iter((sums[:, 1:] / sums[:, :1]).T)
    return {name: metric.value(*islice(means, metric.size)) for name, metric in metrics.items()}
