"""Figures of a check-up: each split's labels, how the splits differ, and what an epoch is drawn from."""

from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avce_pl.dataset.core.batches import expected_draws
from avce_pl.dataset.core.datamodule import Sampler, balancing_groups
from avce_pl.dataset.core.index import EXPRESSION_NAMES, LABELS, SPLITS, FaceIndex
from avce_pl.dataset.core.split_protocol import Protocol
from avce_pl.dataset.files.datamodule import FileDataModule
from avce_pl.errors import AvceError

BINS = 20
"""Bins along valence and along arousal of the label histograms."""
_BALANCED: tuple[Sampler, ...] = ("balanced_plane", "balanced_expressions")


class Shift(NamedTuple):
    """How one label differs between two splits.

    Attributes:
        record: `splits`, `axis`, `difference` and `distance`, see `CheckUp`.
        p_value: Of Kolmogorov and Smirnov's test for independent rows.
    """

    record: dict[str, Any]
    p_value: float


def summarise(index: FaceIndex, faults: NDArray[np.str_], split: str, protocol: Protocol) -> dict[str, Any]:
    """The figures of one split, as `CheckUp.record` lists them.

    Args:
        index: All rows.
        faults: (N,) what is wrong with each row's image, "" for nothing.
        split: Its name.
        protocol: What the real release has.
    """
    rows = index.rows(split)
    table, broken = index.table.iloc[rows], faults[rows]
    labels = index.labels[rows]
    summary: dict[str, Any] = {
        "rows": len(rows),
        "usable": int((broken == "").sum()),
        "bad_images": dict(Counter(broken[broken != ""].tolist())),
        "subjects": count_names(table, "subject"),
        "videos": count_names(table, "video"),
        "expressions": _expressions(table),
        "plane": _plane(labels),
        "expected": expected_counts(protocol, split),
    }
    for axis, name in enumerate(LABELS):
        values = labels[:, axis][~np.isnan(labels[:, axis])].astype(np.float64)
        if len(values):
            summary[name] = {"mean": round(values.mean(), 4), "sd": round(values.std(), 4)}
    return summary


def expected_counts(protocol: Protocol, split: str) -> dict[str, Any]:
    """Rows, videos and expressions of the real release, as far as they are known."""
    counts = {"rows": protocol.rows.get(split), "videos": protocol.videos.get(split)}
    expected: dict[str, Any] = {what: count for what, count in counts.items() if count is not None}
    if classes := protocol.classes.get(split):
        expected["expressions"] = {EXPRESSION_NAMES[code]: count for code, count in enumerate(classes)}
    return expected


def count_names(table: pd.DataFrame, column: str) -> int:
    """Number of different names in a column, "" excepted."""
    return int(table.loc[table[column] != "", column].nunique())


def _expressions(table: pd.DataFrame, weights: NDArray[np.float64] | None = None) -> dict[str, float]:
    """Name of each expression that occurs -> its rows, or the sum of their weights."""
    counts = np.bincount(table["expression"] + 1, weights, minlength=12)[1:].round(2).tolist()
    return {EXPRESSION_NAMES[code]: count for code, count in enumerate(counts) if count}


def _plane(labels: NDArray[np.float32], weights: NDArray[np.float64] | None = None) -> list[list[float]]:
    """(BINS, BINS) histogram over valence and arousal."""
    known = ~np.isnan(labels).any(axis=1)
    valence, arousal = labels[known].T
    edges = np.linspace(-1, 1, BINS + 1)
    counts, _, _ = np.histogram2d(valence, arousal, [edges, edges], weights=None if weights is None else weights[known])
    histogram: list[list[float]] = counts.round(2).tolist()
    return histogram


def label_shifts(index: FaceIndex) -> Iterator[Shift]:
    """How valence and arousal differ between each two splits, by Kolmogorov and Smirnov's test."""
    from scipy.stats import ks_2samp  # here, not above: its import takes a second

    for axis, name in enumerate(LABELS):
        values = {split: index.labels[index.rows(split), axis].astype(np.float64) for split in SPLITS}
        known = {split: x[~np.isnan(x)] for split, x in values.items() if not np.isnan(x).all()}
        for (one, a), (other, b) in combinations(known.items(), 2):
            test = ks_2samp(a, b, method="asymp")  # the exact distribution takes minutes for ten thousand rows
            shift = {
                "splits": [one, other],
                "axis": name,
                "difference": round(b.mean() - a.mean(), 4),
                "distance": round(float(test.statistic), 4),
            }
            yield Shift(shift, float(test.pvalue))


def training_rows(data: FileDataModule, index: FaceIndex) -> list[dict[str, Any]]:
    """Labels of the training rows: all, those left by `stride` and `frames_per_video`, and each sampler's draws."""

    def drawn(name: str, index: FaceIndex, weights: NDArray[np.float64] | None = None) -> dict[str, Any]:
        rows = index.rows("train")
        labels, expressions = index.labels[rows], _expressions(index.table.iloc[rows], weights)
        return {
            "name": name,
            "rows": len(rows),
            **({} if np.isnan(labels).all() else {"plane": _plane(labels, weights)}),
            **({"expressions": expressions} if expressions else {}),
        }

    shown = [drawn("all rows", index)]
    subsampled = data.subsample(index)
    if subsampled is not index:
        name = f"stride {data.stride}"
        if data.frames_per_video is not None:
            name += f", at most {data.frames_per_video} frames of a video"
        shown.append(drawn(name, subsampled))
    rows = subsampled.rows("train")
    for sampler in _BALANCED:
        try:
            groups = balancing_groups(subsampled, rows, sampler)
        except AvceError:  # there are no expressions, or not all have valence and arousal
            continue
        assert groups is not None
        shown.append(drawn(sampler, subsampled, expected_draws(groups)))
    return shown
