"""The facts about one run that the report shows, as plain values."""

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from avce_pl.errors import AvceError
from avce_pl.report.tables.contrast import describe_contrast
from avce_pl.runs.records import OPTIMISTIC, RunRecord, is_procedural, tested_on_validation

POINTS = 100
"""The most points of a learning curve on a page."""

Facts = dict[str, dict[str, str]]


def facts(record: RunRecord) -> Facts:
    """Data and protocol, metrics, contrast, commit, machine and versions of a run; section -> name -> printed value."""
    metrics = record.metrics
    data = dict(_flat("", metrics.get("data", {})))
    if is_procedural(record.choices["dataset"], metrics):
        data = {"faces": "procedural; the numbers are not comparable with published ones"} | data
    if tested_on_validation(metrics):
        data = {"tested on": OPTIMISTIC} | data
    contrast = {"state": describe_contrast({**record.choices, **metrics})} if metrics else {}
    sections = {
        "Data and protocol": {"dataset": record.choices["dataset"]} | data,
        "Metrics": dict(_flat("best", metrics.get("best", {}))) | dict(_flat("", metrics.get("test", {}))),
        "Contrast": contrast | dict(_flat("", metrics.get("contrast", {}))),
        "Run": {"seed": str(record.seed), "digest": str(metrics.get("digest", "–"))}
        | dict(_flat("parameters", metrics.get("parameters", {})))
        | dict(_flat("", metrics.get("run", {}))),
    }
    return {title: values for title, values in sections.items() if values}


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        name = f"{prefix} {key}".strip()
        if isinstance(value, Mapping):
            yield from _flat(name, value)
        elif isinstance(value, float):
            yield name, f"{value:.4g}"
        else:
            yield name, f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def failure(record: RunRecord) -> str:
    """The traceback of a failed run, without the folders of the machine it ran on; empty for the others."""
    if record.state != "failed":
        return ""
    text = (record.folder / "failed.txt").read_text(encoding="utf-8", errors="replace")
    return re.sub(r'File "[^"\n]*?([^"/\n]+/[^"/\n]+)"', r'File "…/\1"', text)


def curves(folder: Path) -> dict[str, dict[str, list[float]]]:
    """The learning curves of a run: split -> ``x``, in epochs, and metric -> values; none before the first epoch.

    Raises:
        AvceError: ``history.csv`` is not what a run writes.
    """
    file = folder / "history.csv"
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
        values = [{key: float(value) for key, value in row.items() if value} for row in rows]
        validation = [row for row in values if any(key.startswith("val/") for key in row)]
        if not validation:
            return {}
        per_epoch = (validation[-1]["step"] + 1) / (validation[-1]["epoch"] + 1)
        training = [row for row in values if "train/loss" in row]
        return {
            "val": _columns("val/", validation, [row["epoch"] + 1 for row in validation]),
            "train": _columns("train/", training, [(row["step"] + 1) / per_epoch for row in training]),
        }
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise AvceError(f"{file} is damaged ({error!r}). Delete the run's folder and run it again.") from None


def _columns(prefix: str, rows: list[dict[str, float]], x: list[float]) -> dict[str, list[float]]:
    names = sorted({key for row in rows for key in row if key.startswith(prefix)})
    kept = range(0, len(rows), max(1, -(-len(rows) // POINTS)))
    columns = {name.removeprefix(prefix): [_short(rows[n].get(name)) for n in kept] for name in names}
    return {"x": [_short(x[n]) for n in kept]} | columns


def _short(value: float | None) -> Any:
    """Four digits; ``None`` for a missing or not finite value."""
    return None if value is None or value - value != 0 else float(f"{value:.4g}")
