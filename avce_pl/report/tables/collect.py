"""The numbers of a table: which runs belong to it, and their statistics over seeds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from avce_pl.report.metrics import tested_value
from avce_pl.report.statistics import mean_interval, paired_difference
from avce_pl.report.tables.layout import Row, TableLayout
from avce_pl.runs.records import RunRecord, updates

Runs = Mapping[Row, Sequence[RunRecord]]
"""The finished, comparable runs of every row of a table."""

_ALSO_CHOSEN = {"method": ("backbone", "crl_formula", "mining", "optimizer")}
"""Groups that an option of another group chooses too, so that they may differ between the rows of a table."""


def comparable_runs(
    records: Sequence[RunRecord], keys: Sequence[str]
) -> tuple[list[RunRecord], dict[str, list[RunRecord]]]:
    """Separates the runs that differ only in the seed and in what names their row from the others.

    The settings that most runs have are the table's; within a row, those that most of its runs have. The other runs are
    grouped by the settings in which they differ.
    """
    named = {*keys, *(group for key in keys for group in _ALSO_CHOSEN.get(key, ()))}

    def part(record: RunRecord, *, own: bool) -> dict[str, Any]:
        """The settings of what names the row, or all others."""
        return {k: v for k, v in record.settings.items() if k != "seed" and (k.split(".")[0] in named) is own}

    started = [record for record in records if record.settings]
    rows: dict[Row, list[dict[str, Any]]] = {}
    for record in started:
        rows.setdefault(record.row(keys), []).append(part(record, own=True))
    usual = {row: _most_common(settings) for row, settings in rows.items()}
    common = _most_common([part(record, own=False) for record in started]) if started else {}
    same: list[RunRecord] = []
    other: dict[str, list[RunRecord]] = {}
    for record in started:
        reference = common | usual[record.row(keys)]
        mine = part(record, own=False) | part(record, own=True)
        differing = [key for key in sorted({*mine, *reference}) if mine.get(key) != reference.get(key)]
        if differing:
            other.setdefault(", ".join(f"{key}={mine.get(key)}" for key in differing), []).append(record)
        else:
            same.append(record)
    return same, other


def has_few_updates(layout: TableLayout, run: RunRecord) -> bool:
    """Whether a run was trained from scratch on too few batches to be meaningful; see `TableLayout.least_updates`."""
    scratch = run.settings.get("backbone.weights") is None and "init_from" not in run.settings
    count = updates(run)
    return scratch and count is not None and count < layout.least_updates


def comparisons(layout: TableLayout, runs: Runs) -> int:
    """The number of intervals of differences to the reference: one per row and metric with two pairs or more."""
    reference = _reference(layout, runs)
    return sum(
        len(_by_seed(found, metric).keys() & _by_seed(reference, metric).keys()) > 1
        for row, found in runs.items()
        for metric in layout.metrics
        if not layout.is_reference(row)
    )


def lines(layout: TableLayout, rows: Sequence[Row], runs: Runs, *, procedural: bool) -> pd.DataFrame:
    """One line per row and metric, size, number of updates, or measure of the contrast; see `ResultTable`.

    Args:
        layout: How the table is shown.
        rows: All rows, also those of the literature.
        runs: The rows that are trained here.
        procedural: Whether the faces of the runs are procedural.
    """
    reference, count = _reference(layout, runs), comparisons(layout, runs)
    counted = ["updates"] if layout.least_updates else []
    collected = []
    for row in rows:
        found, published = runs.get(row, ()), layout.published_of(row)
        contrast = dict.fromkeys(
            f"contrast/{name}" for run in found for name in run.metrics.get("contrast", {}) if name != "alive"
        )
        for metric in [*layout.metrics, *layout.sizes, *counted, *contrast]:
            values = _by_seed(found, metric)
            mean, low, high = mean_interval(np.array([*values.values()], np.float64))
            paper = float(published.get(metric, float("nan")))
            line = {
                **dict(zip(layout.rows, row, strict=True)),
                "metric": metric,
                "mean": mean,
                "sd": pd.Series(values, dtype=float).std(),
                "n": len(values),
                "mean_low": low,
                "mean_high": high,
                "published": paper,
            }
            if layout.comparable(procedural=procedural):
                line["difference"] = mean - paper
            if layout.reference:
                compared = metric in layout.metrics and not layout.is_reference(row)
                paired = paired_difference(values if compared else {}, _by_seed(reference, metric), max(count, 1))
                line |= {
                    "reference_difference": paired.value,
                    "reference_low": paired.low,
                    "reference_high": paired.high,
                    "pairs": paired.pairs,
                    "excludes_zero": paired.low > 0 or paired.high < 0,
                }
            collected.append(line)
    return pd.DataFrame(collected)


def confusions(runs: Runs) -> list[tuple[Row, list[str], list[list[int]]]]:
    """Of every row with runs that predict expressions: its options, the classes, and the counts of all its runs."""
    found = []
    for row, done in runs.items():
        told = [record.metrics for record in done if "confusion" in record.metrics]
        if told:
            counts = np.sum([metrics["confusion"] for metrics in told], axis=0)
            found.append((row, told[0]["data"]["classes"], counts.tolist()))
    return found


def value_of(run: RunRecord, metric: str) -> float | None:
    """A number of a finished run: ``test/...``, ``parameters/...``, ``contrast/...`` or ``updates``.

    ``None`` where it has none, or one that is not finite.

    Raises:
        AvceError: see `tested_value`.
    """
    section, _, name = metric.partition("/")
    if section == "test":
        return tested_value(run.folder, run.metrics, metric)
    found = updates(run) if metric == "updates" else run.metrics.get(section, {}).get(name)
    return float(found) if isinstance(found, int | float) and np.isfinite(found) else None


def _reference(layout: TableLayout, runs: Runs) -> Sequence[RunRecord]:
    return next((found for row, found in runs.items() if layout.is_reference(row)), ())


def _by_seed(runs: Sequence[RunRecord], metric: str) -> dict[int, float]:
    return {run.seed: value for run in runs if (value := value_of(run, metric)) is not None}


def _most_common(settings: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The settings that occur most often, the first of them where several do."""
    texts = [repr(sorted(one.items())) for one in settings]
    return settings[texts.index(Counter(texts).most_common(1)[0][0])]
