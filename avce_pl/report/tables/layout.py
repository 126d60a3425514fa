"""How a table of the paper, or of any sweep, is shown, and which runs it consists of."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from avce_pl.report.metrics import columns, title
from avce_pl.runs.records import CHOICES, RunRecord
from avce_pl.utils.resources import ROOT

MISSING = "–"

Row = tuple[str, ...]
"""The options that name a row of a table, such as ``("avce", "hard")``."""


@dataclass(frozen=True)
class TableLayout:
    """How a table is shown, and which runs it consists of.

    Attributes:
        title: First part of the caption.
        rows: The groups that name a row, each with the printed names of its options.
        metrics: Keys of ``metrics.json``'s ``test`` section and their column titles; see `avce_pl.report.metrics`.
        sizes: Keys of its ``parameters`` section, as ``parameters/<key>``, and their column titles.
        decimals: Of every metric.
        swept: The rows, as options of `rows`, that the sweep has.
        seeds: The seeds that the sweep has.
        dataset: Data set of the published numbers; ``None`` where they do not depend on one.
        published: The published numbers, with the columns of `rows`, `metrics` and perhaps ``parameters``. A row that
            is not `swept` is one of the literature, and printed as published.
        reference: Options of the row that every other row is compared with; empty for a table without one.
        control: Options of the row whose effect is not due to what the table is about.
        settings: What all runs of the paper's table have (``group.key`` -> value), besides
            ``experiments/paper/settings.yaml``.
        folder: The ``name`` of its runs, part of their folders' path; another table's runs may have the same.
        only: The options of its runs, by group, where the folder holds other runs too.
        remarks: Sentences about rows that are published only, or that differ from what the table's paper printed.
        least_updates: Rows that were trained from scratch on fewer batches are marked as meaningless; 0 for no limit
            and no column of updates.
    """

    title: str
    rows: Mapping[str, Mapping[str, str]]
    metrics: Mapping[str, str]
    sizes: Mapping[str, str] = field(default_factory=dict)
    decimals: int = 3
    swept: Sequence[Row] = ()
    seeds: Sequence[int] = ()
    dataset: str | None = None
    published: pd.DataFrame = field(default_factory=pd.DataFrame)
    reference: Mapping[str, str] = field(default_factory=dict)
    control: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    folder: str = ""
    only: Mapping[str, Sequence[str]] = field(default_factory=dict)
    remarks: Sequence[str] = ()
    least_updates: int = 0

    def published_of(self, row: Row) -> dict[str, Any]:
        """The published line of a row; empty where there is none."""
        found = self.published
        for key, value in zip(self.rows, row, strict=True):
            found = found[found[key] == value] if key in found else found.iloc[:0]
        return dict(found.iloc[0]) if len(found) else {}

    def has(self, record: RunRecord) -> bool:
        """Whether a run is one of this table."""
        return all(record.choices[key] in options for key, options in self.only.items())

    def comparable(self, *, procedural: bool) -> bool:
        """Whether numbers on such faces may be compared with the published ones: not on procedural ones."""
        return self.dataset is None or not procedural

    def is_reference(self, row: Row) -> bool:
        """Whether the other rows are compared with this one."""
        return self._has(row, self.reference)

    def is_control(self, row: Row) -> bool:
        """Whether this is the row of the control."""
        return self._has(row, self.control)

    def _has(self, row: Row, options: Mapping[str, str]) -> bool:
        own = dict(zip(self.rows, row, strict=True))
        return bool(options) and all(own.get(key) == option for key, option in options.items())

    def names(self, row: Row) -> list[str]:
        """The printed names of a row's options."""
        return [self.rows[key].get(option, option) for key, option in zip(self.rows, row, strict=True)]

    def name_rows(self, rows: Collection[Row], among: Collection[Row]) -> str:
        """Names some rows of a table, by the options of one group where these distinguish them from the others."""
        for place, key in enumerate(self.rows):
            options = dict.fromkeys(row[place] for row in rows)
            if all(row in rows for row in among if row[place] in options):
                printed = {option: self.rows[key].get(option, option) for option in options}
                return ", ".join(option if name == MISSING else name for option, name in printed.items())
        return ", ".join("/".join(row) for row in rows)


def read_layout(name: str) -> TableLayout | None:
    """The layout of a table of the paper, ``None`` for a name that has none.

    Its presentation is ``experiments/tables/<name>.yaml``, its sweep ``conf/experiment/<name>.yaml``, the published
    numbers ``experiments/paper/<name>.csv``. Where one sweep cannot hold its rows, the presentation names several in
    ``sweeps``, which have the same ``name``.
    """
    file = ROOT / "experiments" / "tables" / f"{name}.yaml"
    if not file.exists():
        return None
    shown, folder = _read_yaml(file), name
    defaults = (one for one in _read_yaml(ROOT / "conf" / "config.yaml")["defaults"] if isinstance(one, dict))
    usual = {group: [option] for one in defaults for group, option in one.items()}
    swept: dict[Row, None] = {}
    seeds: dict[int, None] = {}
    for experiment in shown.pop("sweeps", [name]):
        config = _read_yaml(ROOT / "conf" / "experiment" / f"{experiment}.yaml")
        folder = config["name"]
        params = {key: options(value) for key, value in config["hydra"]["sweeper"]["params"].items()}
        for method in params.get("method", usual["method"]):
            sweep = usual | _brought_by(method) | params | {"method": [method]}
            swept |= dict.fromkeys(product(*(sweep[key] for key in shown["rows"])))
        seeds |= dict.fromkeys(int(seed) for seed in params["seed"])
    published = pd.read_csv(
        ROOT / "experiments" / "paper" / f"{name}.csv",
        comment="#",
        keep_default_na=False,  # "none" is an option
        na_values={metric: [""] for metric in shown["metrics"]},
    )
    shown["metrics"] = {metric: title(metric) for metric in shown["metrics"]}
    return TableLayout(**shown, swept=list(swept), seeds=list(seeds), published=published, folder=folder)


def _brought_by(method: str) -> dict[str, list[str]]:
    """The options of other groups that a method's YAML chooses, by group."""
    defaults = _read_yaml(ROOT / "conf" / "method" / f"{method}.yaml").get("defaults", [])
    overrides = ((key, option) for entry in defaults if isinstance(entry, dict) for key, option in entry.items())
    return {key.removeprefix("override /").partition("@")[0]: [option] for key, option in overrides}


def _read_yaml(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return content


def options(value: Any) -> list[str]:
    """The options of a Hydra sweep: "a,b", or a range of numbers such as "range(16)" or "range(3,6)"."""
    if numbers := re.fullmatch(r"range\((?:(\d+),)?(\d+)\)", str(value).replace(" ", "")):
        return [str(number) for number in range(int(numbers[1] or 0), int(numbers[2]))]
    return [option.strip() for option in str(value).split(",")]


def plain_layout(name: str, records: Sequence[RunRecord]) -> TableLayout:
    """The layout of a sweep that is not a table of the paper: its rows are named by what varies."""
    varying = [key for key in CHOICES if len({record.choices[key] for record in records}) > 1]
    return TableLayout(
        title=f"Sweep {name}",
        rows={key: {} for key in varying or ["crl_formula"]},
        metrics=columns(record.metrics.get("test", {}) for record in records),
        seeds=sorted({record.seed for record in records}),
        folder=name,
    )
