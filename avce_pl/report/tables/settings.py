"""The resolved settings of a table's runs: where they depart from the paper, and where rows differ."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import yaml

from avce_pl.report.tables.collect import Runs
from avce_pl.report.tables.layout import Row, TableLayout
from avce_pl.runs.records import RunRecord
from avce_pl.utils.resources import ROOT

_OF_THE_NAME = ("name", "_target_", "depth")
"""Last parts of settings that only repeat the name of an option."""


def read_paper_settings() -> dict[str, dict[str, Any]]:
    """The paper's settings: ``group.key`` -> ``paper``, and perhaps ``by``, ``same`` and ``hint``; see the file."""
    file = ROOT / "experiments" / "paper" / "settings.yaml"
    settings: dict[str, dict[str, Any]] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return settings


def departures(layout: TableLayout, runs: Runs) -> list[str]:
    """Every setting in which rows depart from the paper, such as "dataset.image_size 64 (paper: 224)"."""
    found = {row: done[0] for row, done in runs.items() if done}
    texts = []
    own = {key: {"paper": value} for key, value in layout.settings.items()}
    for key, entry in (read_paper_settings() | own).items():
        compared: dict[Row, str] = {}  # row -> the paper's value
        departing: dict[str, list[Row]] = {}  # value here -> rows
        for row, run in found.items():
            known, paper = _paper_value(entry, run)
            if key not in run.settings or not known:
                continue
            value = run.settings[key]
            compared[row] = _printed(paper)
            if not any(_equal(value, one) for one in (paper, *entry.get("same", ()))):
                departing.setdefault(_printed(value), []).append(row)
        for value, rows in departing.items():
            papers = {found[row].choices.get(entry.get("by", ""), ""): compared[row] for row in rows}
            told = ", ".join(f"{paper} for {option}" for option, paper in papers.items())
            if len({*papers.values()}) == 1:
                told = compared[rows[0]]
            hint = f", {entry['hint']}" if "hint" in entry else ""
            where = "" if len(rows) == len(compared) else f" in {layout.name_rows(rows, found)}"
            texts.append(f"{key} {value}{where} (paper: {told}{hint})")
    return texts


def row_differences(layout: TableLayout, runs: Runs) -> list[str]:
    """Every setting that rows share and have different values of, such as "method.dropout: Baseline 0, CAF 0.5"."""
    found = {row: done[0].settings for row, done in runs.items() if done}
    texts = []
    for key in sorted({key for settings in found.values() for key in settings}):
        group, _, last = key.partition(".")
        if key == "seed" or last == "_target_" or (group in layout.rows and last in _OF_THE_NAME):
            continue
        values: dict[str, list[Row]] = {}
        for row, settings in found.items():
            if key in settings:
                values.setdefault(_printed(settings[key]), []).append(row)
        if len(values) > 1:
            having = [row for rows in values.values() for row in rows]
            shown = (f"{layout.name_rows(rows, having)} {value}" for value, rows in values.items())
            texts.append(f"{key}: {', '.join(shown)}")
    return texts


def _paper_value(entry: Mapping[str, Any], run: RunRecord) -> tuple[bool, Any]:
    """Whether the paper has a value for such a run, and which."""
    if "by" not in entry:
        return True, entry["paper"]
    option = run.choices[entry["by"]]
    return option in entry["paper"], entry["paper"].get(option)


def _equal(value: Any, paper: Any) -> bool:
    return bool(value == paper) and type(value) is type(paper)  # of limit_train_batches, 1 is one batch and 1.0 all


def _printed(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        text = f"{value:g}"
        return text if "." in text or "e" in text else f"{text}.0"  # 1 is one batch, 1.0 all of them
    text = str(value)
    return PurePath(text).name if "/" in text else text  # without the machine's folders
