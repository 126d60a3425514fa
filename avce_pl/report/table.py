"""A table of the paper from run folders alone: mean ± sd over seeds, beside what was published."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, cast

import pandas as pd
import yaml
from tabulate import tabulate

from avce_pl.errors import AvceError
from avce_pl.report.records import CHOICES, Record, read_records
from avce_pl.resources import ROOT

SYNTHETIC = ("synthetic", "synthetic_video")
MISSING = "–"


@dataclass(frozen=True)
class Layout:
    """How a table is shown, and what it should consist of.

    Attributes:
        title: First part of the caption.
        rows: The groups that name a row, each with the printed names of its options.
        metrics: Keys of ``metrics.json``'s ``test`` section and their column titles.
        decimals: Of every number.
        asked: The rows, as options of `rows`, that the sweep has.
        seeds: The seeds that the sweep has.
        dataset: Data set of the published numbers.
        published: The published numbers, with the columns of `rows` and `metrics`.
    """

    title: str
    rows: Mapping[str, Mapping[str, str]]
    metrics: Mapping[str, str]
    decimals: int = 3
    asked: Sequence[tuple[str, ...]] = ()
    seeds: Sequence[int] = ()
    dataset: str | None = None
    published: pd.DataFrame = field(default_factory=pd.DataFrame)


@dataclass(frozen=True)
class Table:
    """A table that is ready to be printed.

    Attributes:
        layout: How it is shown.
        dataset: The data set of its runs.
        lines: One line per row and metric: the columns of ``layout.rows``, ``metric``, ``mean``, ``sd`` (over seeds,
            of a sample), ``n``, ``published`` and ``difference``.
        notes: What a reader has to know: data, seeds, failed and missing runs.
    """

    layout: Layout
    dataset: str
    lines: pd.DataFrame
    notes: list[str]

    @property
    def names(self) -> list[list[str]]:
        """The printed names of every row."""
        layout = self.layout
        rows = self.lines[list(layout.rows)].drop_duplicates().itertuples(index=False)
        return [
            [layout.rows[key].get(value, value) for key, value in zip(layout.rows, row, strict=True)] for row in rows
        ]

    @property
    def cells(self) -> list[list[str]]:
        """The printed numbers of every row: for every metric mean ± sd, and the published value and the difference."""
        columns = [self._column(self.lines[self.lines["metric"] == metric]) for metric in self.layout.metrics]
        counts = self.lines.groupby(list(self.layout.rows), sort=False)["n"].max()
        return [[*(cell for column in columns for cell in column[row]), str(n)] for row, n in enumerate(counts)]

    @property
    def headers(self) -> list[str]:
        """The column titles."""
        several = ["", "published", "difference"] if self._has_published else [""]
        metrics = [f"{title} {part}".strip() for title in self.layout.metrics.values() for part in several]
        return [*(key.replace("_", " ") for key in self.layout.rows), *metrics, "n"]

    @property
    def _has_published(self) -> bool:
        return bool(self.lines["published"].notna().any())

    def _column(self, values: pd.DataFrame) -> list[list[str]]:
        def number(value: float, sign: str = "") -> str:
            return MISSING if pd.isna(value) else f"{value:{sign}.{self.layout.decimals}f}"

        lines = []
        for line in values.itertuples():
            deviation = cast(float, line.sd)
            spread = "" if pd.isna(deviation) else f" ± {number(deviation)}"
            lines.append([number(cast(float, line.mean)) + spread])
            if self._has_published:
                lines[-1] += [number(cast(float, line.published)), number(cast(float, line.difference), "+")]
        return lines

    def markdown(self) -> str:
        """The table for a README."""
        rows = [[*name, *cells] for name, cells in zip(self.names, self.cells, strict=True)]
        table = tabulate(rows, self.headers, tablefmt="github", disable_numparse=True)
        notes = "".join(f"- {note}\n" for note in self.notes)
        return f"**{self.layout.title}**\n\n{table}\n\n{notes}"

    def latex(self) -> str:
        """The table for a paper; needs the package booktabs."""
        rows = [[*name, *cells] for name, cells in zip(self.names, self.cells, strict=True)]
        table = tabulate(rows, self.headers, tablefmt="latex_booktabs", disable_numparse=True)
        caption = " ".join([self.layout.title + ".", *self.notes])
        for character, command in (("\\", r"\textbackslash "), ("_", r"\_"), ("%", r"\%"), ("&", r"\&"), ("#", r"\#")):
            caption = caption.replace(character, command)
        table = table.replace("±", r"$\pm$")
        return f"\\begin{{table}}\n\\centering\n{table}\n\\caption{{{caption}}}\n\\end{{table}}\n".replace(
            "±", r"$\pm$"
        )

    def csv(self) -> str:
        """The unrounded numbers, one line per row and metric, after the notes as comments."""
        notes = "".join(f"# {note}\n" for note in [self.layout.title, *self.notes])
        return notes + self.lines.to_csv(index=False)

    def write(self, folder: Path, name: str) -> list[Path]:
        """Writes ``<name>.md``, ``.csv`` and ``.tex`` into a folder; each appears whole or not."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for ending, text in (("md", self.markdown()), ("csv", self.csv()), ("tex", self.latex())):
            path = folder / f"{name}.{ending}"
            path.with_suffix(".tmp").write_text(text, encoding="utf-8")
            path.with_suffix(".tmp").replace(path)
            paths.append(path)
        return paths


def read_layout(name: str) -> Layout | None:
    """The layout of a table of the paper, ``None`` for a name that has none.

    Its presentation is ``experiments/tables/<name>.yaml``, its sweep ``conf/experiment/<name>.yaml``, the published
    numbers ``experiments/paper/<name>.csv``.
    """
    file = ROOT / "experiments" / "tables" / f"{name}.yaml"
    if not file.exists():
        return None
    shown = yaml.safe_load(file.read_text(encoding="utf-8"))
    experiment = yaml.safe_load((ROOT / "conf" / "experiment" / f"{name}.yaml").read_text(encoding="utf-8"))
    sweep = {key: str(value).split(",") for key, value in experiment["hydra"]["sweeper"]["params"].items()}
    return Layout(
        **shown,
        asked=list(product(*(sweep.get(key, [""]) for key in shown["rows"]))),
        seeds=[int(seed) for seed in sweep["seed"]],
        published=pd.read_csv(ROOT / "experiments" / "paper" / f"{name}.csv", comment="#", keep_default_na=False),
    )


def make_table(name: str, outputs: Path, dataset: str | None = None, seeds: Sequence[int] = ()) -> Table:
    """Makes a table from the run folders below ``<outputs>/<name>``, finished or not.

    Args:
        name: Of a table of the paper, such as "table2", or of any sweep.
        outputs: The sweep's ``output_root``.
        dataset: Which data set's runs, where the folder has several.
        seeds: Seeds that were asked for, where they are not those of the table's own sweep.

    Raises:
        AvceError: there are no runs, or runs on several data sets.
    """
    records = read_records(outputs / name)
    if not records:
        there = sorted(path.name for path in outputs.glob("*") if any(path.glob("*/" * 5 + "seed_*")))
        known = f"There are: {', '.join(there)}." if there else "There are no runs at all."
        raise AvceError(
            f"{outputs / name} holds no runs. {known} Run `python run.py -m experiment={name}` (or `make "
            f"ablation-{name}`) first, or say where its output_root is with --outputs FOLDER."
        )
    found = sorted({record.choices["dataset"] for record in records})
    if dataset is None and len(found) > 1:
        raise AvceError(f"{outputs / name} holds runs on {', '.join(found)}. Choose one with --dataset NAME.")
    dataset = dataset or found[0]
    if dataset not in found:
        raise AvceError(f"{outputs / name} holds no runs on {dataset}, only on {', '.join(found)}.")
    records = [record for record in records if record.choices["dataset"] == dataset]
    return _table(read_layout(name) or _plain_layout(name, records), dataset, records, seeds)


def _plain_layout(name: str, records: Sequence[Record]) -> Layout:
    """The layout of a sweep that is no table of the paper: its rows are named by what varies."""
    varying = [key for key in CHOICES if len({record.choices[key] for record in records}) > 1]
    metrics = {
        f"test/{metric}_{axis}": f"{metric.upper()} {axis[0].upper()}"
        for metric in ("ccc", "rmse")
        for axis in ("valence", "arousal")
    }
    return Layout(
        title=f"Sweep {name}",
        rows={key: {} for key in varying or ["crl_formula"]},
        metrics=metrics,
        seeds=sorted({record.seed for record in records}),
    )


def _table(layout: Layout, dataset: str, records: Sequence[Record], seeds: Sequence[int]) -> Table:
    keys = list(layout.rows)
    seeds = seeds or layout.seeds
    comparable, other = _alike(records, keys)
    rows = list(dict.fromkeys([*layout.asked, *(tuple(record.choices[key] for key in keys) for record in records)]))
    lines = []
    for row in rows:
        done = [r for r in comparable if r.state == "done" and tuple(r.choices[key] for key in keys) == row]
        published = layout.published
        for key, value in zip(keys, row, strict=True):
            published = published[published[key] == value] if key in published else published.iloc[:0]
        for metric in layout.metrics:
            values = pd.Series([r.metrics["test"].get(metric) for r in done], dtype=float).dropna()
            paper = float(published[metric].iloc[0]) if metric in published and len(published) else float("nan")
            lines.append(
                {
                    **dict(zip(keys, row, strict=True)),
                    "metric": metric,
                    "mean": values.mean(),
                    "sd": values.std(),
                    "n": len(values),
                    "published": paper,
                    "difference": values.mean() - paper,
                }
            )
    notes = list(_notes(layout, dataset, records, other, rows, seeds))
    return Table(layout, dataset, pd.DataFrame(lines), notes)


def _alike(records: Sequence[Record], keys: Sequence[str]) -> tuple[list[Record], dict[str, list[Record]]]:
    """The runs that differ in nothing but the seed and what names their row, and the others by what they differ in.

    The settings that most runs have are the table's; within a row, those that most of its runs have.
    """

    def shared(record: Record) -> dict[str, Any]:
        return {key: value for key, value in record.settings.items() if key.split(".")[0] not in (*keys, "seed")}

    def own(record: Record) -> dict[str, Any]:
        return {key: value for key, value in record.settings.items() if key.split(".")[0] in keys}

    started = [record for record in records if record.settings]
    alike, other = list(started), dict[str, list[Record]]()
    groups = [(shared, started)]
    by_row: dict[tuple[str, ...], list[Record]] = {}
    for record in started:
        by_row.setdefault(tuple(record.choices[key] for key in keys), []).append(record)
    groups += [(own, row) for row in by_row.values()]
    for settings, group in groups:
        if not group:
            continue
        (usual, _), *_ = Counter(repr(sorted(settings(record).items())) for record in group).most_common()
        reference = next(settings(r) for r in group if repr(sorted(settings(r).items())) == usual)
        for record in group:
            mine = settings(record)
            differing = [key for key in sorted({*mine, *reference}) if mine.get(key) != reference.get(key)]
            if differing and record in alike:
                alike.remove(record)
                other.setdefault(", ".join(f"{key}={mine.get(key)}" for key in differing), []).append(record)
    return alike, other


def _notes(
    layout: Layout,
    dataset: str,
    records: Sequence[Record],
    other: Mapping[str, Sequence[Record]],
    rows: Sequence[tuple[str, ...]],
    seeds: Sequence[int],
) -> Iterator[str]:
    keys = list(layout.rows)

    def named(record: Record) -> str:
        return "/".join([*(record.choices[key] for key in keys), f"seed {record.seed}"])

    if dataset in SYNTHETIC:
        published = f" with the published ones (on {layout.dataset})" if layout.dataset else " with anybody's"
        yield f"Procedural faces (dataset={dataset}): the numbers are not comparable{published}."
    elif layout.dataset and dataset != layout.dataset:
        yield f"On {dataset}; the published numbers are on {layout.dataset}."
    done = [record for record in records if record.state == "done" and not any(record in r for r in other.values())]
    if done:
        protocols = sorted(
            {f"{r.metrics['data']['protocol']} (fingerprint {r.metrics['data']['fingerprint']})" for r in done}
        )
        yield f"Mean ± standard deviation over seeds {', '.join(map(str, seeds))}; data: {'; '.join(protocols)}."
        commits = sorted({str(record.metrics["run"]["commit"]) for record in done})
        yield f"Commit {commits[0]}." if len(commits) == 1 else f"Mixed commits: {', '.join(commits)}."
    for difference, excluded in other.items():
        yield f"Left out for other settings ({difference}): {', '.join(map(named, excluded))}."
    if failed := [record for record in records if record.state == "failed"]:
        yield "Failed, see failed.txt in the run's folder: " + ", ".join(map(named, failed)) + "."
    have = {(tuple(record.choices[key] for key in keys), record.seed) for record in done}
    gone = {(tuple(record.choices[key] for key in keys), record.seed) for record in records if record.state == "failed"}
    missing = ["/".join([*row, f"seed {seed}"]) for row in rows for seed in seeds if (row, seed) not in have | gone]
    if missing:
        yield f"Fewer runs than asked for, not finished: {', '.join(missing)}."
