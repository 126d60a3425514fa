"""Finished runs that figures compare: their records, predictions and labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from avce_pl.errors import AvceError
from avce_pl.runs.records import is_procedural, read_metrics, read_records
from avce_pl.utils.resources import TRAIN

METHODS = {"baseline": "Baseline", "caf": "CAF", "avce": "AVCE"}
"""The paper's names, in the order of its figures."""

_OF_ALL = ("dataset", "backbone")  # part of the labels where any two runs differ
_OF_METHOD = ("crl_formula", "mining", "seed")  # and where two of one method differ
_FACE = ["path", "video", "frame", "valence", "arousal"]
_COLUMNS = [*_FACE, "row", "subject", "predicted_valence", "predicted_arousal"]


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run for valence and arousal.

    Attributes:
        folder: Where it is.
        record: What ``metrics.json`` holds.
        table: ``predictions.parquet``, one row per test face.
        label: Its name in figures, different from those of the others.
    """

    folder: Path
    record: Mapping[str, Any]
    table: pd.DataFrame
    label: str

    @property
    def synthetic(self) -> bool:
        """Whether its faces are procedural."""
        return is_procedural(self.record["dataset"], self.record)


def open_runs(folders: Sequence[Path]) -> list[Run]:
    """Opens run folders, in the order of `METHODS` and then as given.

    Raises:
        AvceError: a folder holds no finished run for valence and arousal, or is given twice.
    """
    found: list[tuple[Path, dict[str, Any], pd.DataFrame]] = []
    for folder in folders:
        if any(folder.resolve() == other.resolve() for other, _, _ in found):
            raise AvceError(f"{folder} is given twice.")
        record = read_metrics(folder)
        if not record:
            raise AvceError(f"{folder} holds no finished run. Give folders that `{TRAIN}` printed at its end.")
        if "classes" in record["data"]:
            raise AvceError(f"{folder} predicts expressions; these figures need valence and arousal.")
        found.append((folder, record, read_predictions(folder)))
    order = [*METHODS]
    found.sort(key=lambda run: order.index(run[1]["method"]) if run[1]["method"] in order else len(order))
    labels = _labels([record for _, record, _ in found])
    return [Run(*run, label) for run, label in zip(found, labels, strict=True)]


def read_predictions(folder: Path) -> pd.DataFrame:
    """Reads the ``predictions.parquet`` of a finished run for valence and arousal.

    Raises:
        AvceError: it cannot be read.
    """
    try:
        table = pd.read_parquet(folder / "predictions.parquet")
        table[_COLUMNS]
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise AvceError(f"{folder / 'predictions.parquet'} cannot be read ({reason}). Run it again.") from None
    return table


def runs_of_sweep(folder: Path) -> tuple[list[Path], list[str]]:
    """One finished run, that of the smallest seed, of every row of a sweep.

    Args:
        folder: ``<output_root>/<name>``.

    Returns:
        The run folders, and a sentence for each one that was left out.

    Raises:
        AvceError: there is no finished run.
    """
    rows: dict[tuple[str, ...], Path] = {}
    notes: list[str] = []
    for record in sorted(read_records(folder), key=lambda record: record.seed):
        if record.state != "done":
            notes.append(f"Left out, as it is {record.state}: {record.folder.relative_to(folder)}.")
        else:
            rows.setdefault(record.row(record.choices), record.folder)
    if not rows:
        raise AvceError(
            f"There is no finished run in {folder}. Train some with {TRAIN} -m experiment=figures, or say which "
            "runs with --name NAME or --runs FOLDER."
        )
    return list(rows.values()), notes


def missing_methods(runs: Sequence[Run]) -> list[str]:
    """A sentence that names the methods of the paper without a run."""
    there = {run.record["method"] for run in runs}
    missing = [name for method, name in METHODS.items() if method not in there]
    return [f"No run of {' and '.join(missing)} was given."] if missing else []


def require_same_faces(runs: Sequence[Run]) -> None:
    """Refuses runs that were not tested on the same faces with the same labels, in the same order.

    Raises:
        AvceError: two runs differ.
    """
    first = runs[0]
    for other in runs[1:]:
        sizes = f"{len(first.table):,} and {len(other.table):,} faces"
        if len(first.table) == len(other.table):
            ours, theirs = (run.table[_FACE].astype(str).to_numpy() for run in (first, other))
            different = int(np.sum((ours != theirs).any(axis=1)))
            if not different:
                continue
            sizes = f"{different:,} of {len(ours):,} faces or labels differ"
        raise AvceError(
            f"{first.folder} and {other.folder} were not tested on the same faces ({sizes}), so they cannot be "
            "compared face by face. Give runs with the same data set and protocol."
        )


def _labels(records: Sequence[Mapping[str, Any]]) -> list[str]:
    labels = []
    for record in records:
        alike = [other for other in records if other["method"] == record["method"]]
        keys = [key for key in _OF_ALL if len({other[key] for other in records}) > 1]
        keys += [key for key in _OF_METHOD if len({other[key] for other in alike}) > 1]
        named = [f"seed {record[key]}" if key == "seed" else str(record[key]) for key in keys]
        labels.append(" ".join([METHODS.get(record["method"], record["method"]), *named]))
    names = [record["name"] for record in records]  # of sweeps, where their settings are the same
    labels = [f"{one} ({name})" if labels.count(one) > 1 else one for one, name in zip(labels, names, strict=True)]
    return [label if labels.count(label) == 1 else f"{label} {n + 1}" for n, label in enumerate(labels)]
