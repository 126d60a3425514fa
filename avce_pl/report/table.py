"""A table of the paper from run folders alone: mean ± sd over seeds, beside what was published."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import yaml
from tabulate import tabulate

from avce_pl.errors import AvceError
from avce_pl.report.records import CHOICES, PATTERN, SYNTHETIC, Record, read_records
from avce_pl.resources import ROOT

MISSING = "–"
PUBLISHED = "†"
"""Marks a row that is not trained here."""

_BROUGHT = {"method": ("crl_formula", "mining", "optimizer")}
"""Groups whose choice a row's own choice brings along, so that they may differ between the rows of a table."""


@dataclass(frozen=True)
class Layout:
    """How a table is shown, and what it should consist of.

    Attributes:
        title: First part of the caption.
        rows: The groups that name a row, each with the printed names of its options.
        metrics: Keys of ``metrics.json``'s ``test`` section and their column titles.
        sizes: Keys of its ``parameters`` section, as ``parameters/<key>``, and their column titles.
        decimals: Of every metric.
        asked: The rows, as options of `rows`, that the sweep has.
        seeds: The seeds that the sweep has.
        dataset: Data set of the published numbers.
        published: The published numbers, with the columns of `rows`, `metrics` and perhaps ``parameters``. A row that
            is not `asked` is one of the literature, and printed as published.
    """

    title: str
    rows: Mapping[str, Mapping[str, str]]
    metrics: Mapping[str, str]
    sizes: Mapping[str, str] = field(default_factory=dict)
    decimals: int = 3
    asked: Sequence[tuple[str, ...]] = ()
    seeds: Sequence[int] = ()
    dataset: str | None = None
    published: pd.DataFrame = field(default_factory=pd.DataFrame)

    def published_of(self, row: tuple[str, ...]) -> dict[str, Any]:
        """The published line of a row; empty where there is none."""
        found = self.published
        for key, value in zip(self.rows, row, strict=True):
            found = found[found[key] == value] if key in found else found.iloc[:0]
        return dict(found.iloc[0]) if len(found) else {}


@dataclass(frozen=True)
class Table:
    """A table that is ready to be printed.

    Attributes:
        layout: How it is shown.
        dataset: The data set of its runs.
        lines: One line per row and metric or size: the columns of ``layout.rows``, ``metric``, ``mean``, ``sd`` (over
            seeds, of a sample), ``n``, ``published`` and ``difference``.
        notes: What a reader has to know: data, seeds, failed and missing runs.
        literature: The rows that are only printed as published.
        confusions: Of every row with runs that tell expressions apart: its options, the classes, and the counts of all
            its runs together, true classes as rows.
    """

    layout: Layout
    dataset: str
    lines: pd.DataFrame
    notes: list[str]
    literature: Set[tuple[str, ...]] = frozenset()
    confusions: Sequence[tuple[tuple[str, ...], list[str], list[list[int]]]] = ()

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The options of every row."""
        return [tuple(row) for row in self.lines[list(self.layout.rows)].drop_duplicates().itertuples(index=False)]

    @property
    def names(self) -> list[list[str]]:
        """The printed names of every row."""
        return [self.named(row) for row in self.rows]

    def named(self, row: tuple[str, ...]) -> list[str]:
        """The printed names of a row's options."""
        layout = self.layout
        names = [layout.rows[key].get(value, value) for key, value in zip(layout.rows, row, strict=True)]
        return [f"{names[0]} {PUBLISHED}", *names[1:]] if row in self.literature else names

    @property
    def cells(self) -> list[list[str]]:
        """The printed numbers of every row: sizes, and for every metric mean ± sd, published value and difference."""
        columns = [self._column(self.lines[self.lines["metric"] == metric]) for metric in self.layout.metrics]
        counts = self.lines.groupby(list(self.layout.rows), sort=False)["n"].max()
        return [
            [*self._sizes(number), *(cell for column in columns for cell in column[number]), str(n)]
            for number, n in enumerate(counts)
        ]

    @property
    def headers(self) -> list[str]:
        """The column titles."""
        several = ["", "published", "difference"] if self._has_published else [""]
        metrics = [f"{title} {part}".strip() for title in self.layout.metrics.values() for part in several]
        sizes = [*self.layout.sizes.values(), *(["params published"] if "parameters" in self.layout.published else [])]
        return [*(key.replace("_", " ") for key in self.layout.rows), *sizes, *metrics, "n"]

    @property
    def _has_published(self) -> bool:
        return bool(self.lines["published"].notna().any())

    def _sizes(self, number: int) -> list[str]:
        means = [self.lines[self.lines["metric"] == size]["mean"].iloc[number] for size in self.layout.sizes]
        sizes = [MISSING if pd.isna(mean) else f"{mean / 1e6:.2f}M" for mean in means]
        if "parameters" in self.layout.published:
            sizes.append(self.layout.published_of(self.rows[number]).get("parameters") or MISSING)
        return sizes

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

    def _print(self, form: str) -> str:
        rows = [[*name, *cells] for name, cells in zip(self.names, self.cells, strict=True)]
        return tabulate(rows, self.headers, tablefmt=form, disable_numparse=True)

    def markdown(self) -> str:
        """The table for a README."""
        table = self._print("github")
        notes = "".join(f"- {note}\n" for note in self.notes)
        return f"**{self.layout.title}**\n\n{table}\n\n{notes}"

    def latex(self) -> str:
        """The table for a paper; needs the package booktabs."""
        caption = " ".join([self.layout.title + ".", *self.notes])
        for character, command in (("\\", r"\textbackslash "), ("_", r"\_"), ("%", r"\%"), ("&", r"\&"), ("#", r"\#")):
            caption = caption.replace(character, command)
        lines = [
            r"\begin{table}",
            r"\centering",
            self._print("latex_booktabs"),
            rf"\caption{{{caption}}}",
            r"\end{table}",
        ]
        return "\n".join([*lines, ""]).replace("±", r"$\pm$").replace(PUBLISHED, r"$\dagger$")

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
    numbers ``experiments/paper/<name>.csv``. Where one sweep cannot hold its rows, the presentation names several in
    ``sweeps``.
    """
    file = ROOT / "experiments" / "tables" / f"{name}.yaml"
    if not file.exists():
        return None
    shown = yaml.safe_load(file.read_text(encoding="utf-8"))
    asked: dict[tuple[str, ...], None] = {}
    for experiment in shown.pop("sweeps", [name]):
        path = ROOT / "conf" / "experiment" / f"{experiment}.yaml"
        params = yaml.safe_load(path.read_text(encoding="utf-8"))["hydra"]["sweeper"]["params"]
        sweep = {key: str(value).split(",") for key, value in params.items()}
        asked |= dict.fromkeys(product(*(sweep[key] for key in shown["rows"])))
    published = pd.read_csv(
        ROOT / "experiments" / "paper" / f"{name}.csv",
        comment="#",
        keep_default_na=False,  # "none" is an option
        na_values={metric: [""] for metric in shown["metrics"]},
    )
    return Layout(**shown, asked=list(asked), seeds=[int(seed) for seed in sweep["seed"]], published=published)


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
        there = sorted(path.name for path in outputs.glob("*") if any(path.glob(PATTERN)))
        known = f"There are: {', '.join(there)}." if there else "There are no runs at all."
        raise AvceError(
            f"{outputs / name} holds no runs. {known} Run `python run.py -m experiment={name}` first (`make help` "
            "lists the tables of the paper), or say where its output_root is with --outputs FOLDER."
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
    metrics = {"test/accuracy": "accuracy", "test/accuracy_macro": "mean of classes", "test/f1_macro": "macro F1"}
    if not any("test/accuracy" in record.metrics.get("test", {}) for record in records):
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
    trained = [*layout.asked, *(record.row(keys) for record in records)]
    published = [tuple(row) for row in layout.published.reindex(columns=keys).itertuples(index=False)]
    rows = list(dict.fromkeys([*published, *trained]))
    literature = frozenset(published) - frozenset(trained)
    lines, confusions = [], []
    for row in rows:
        done = [r for r in comparable if r.state == "done" and r.row(keys) == row]
        printed = layout.published_of(row)
        for metric in [*layout.metrics, *layout.sizes]:
            section, _, size = metric.partition("/")
            found = [r.metrics["test"].get(metric) if section == "test" else r.metrics[section].get(size) for r in done]
            values = pd.Series(found, dtype=float).dropna()
            paper = float(printed.get(metric, float("nan")))
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
        with_confusion = [record.metrics for record in done if "confusion" in record.metrics]
        if with_confusion:
            counts = np.sum([metrics["confusion"] for metrics in with_confusion], axis=0)
            confusions.append((row, with_confusion[0]["data"]["classes"], counts.tolist()))
    notes = list(_notes(layout, dataset, records, other, [row for row in rows if row not in literature], seeds))
    if literature:
        notes.append(f"{PUBLISHED} as published, on {layout.dataset}; not trained here.")
    return Table(layout, dataset, pd.DataFrame(lines), notes, literature, confusions)


def _alike(records: Sequence[Record], keys: Sequence[str]) -> tuple[list[Record], dict[str, list[Record]]]:
    """The runs that differ in nothing but the seed and what names their row, and the others by what they differ in.

    The settings that most runs have are the table's; within a row, those that most of its runs have.
    """
    named = {*keys, *(group for key in keys for group in _BROUGHT.get(key, ()))}

    def part(record: Record, *, own: bool) -> dict[str, Any]:
        """The settings of what names the row, or all others."""
        return {k: v for k, v in record.settings.items() if k != "seed" and (k.split(".")[0] in named) is own}

    started = [record for record in records if record.settings]
    rows: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for record in started:
        rows.setdefault(record.row(keys), []).append(part(record, own=True))
    usual = {row: _most_common(settings) for row, settings in rows.items()}
    common = _most_common([part(record, own=False) for record in started]) if started else {}
    alike: list[Record] = []
    other: dict[str, list[Record]] = {}
    for record in started:
        reference = common | usual[record.row(keys)]
        mine = part(record, own=False) | part(record, own=True)
        differing = [key for key in sorted({*mine, *reference}) if mine.get(key) != reference.get(key)]
        if differing:
            other.setdefault(", ".join(f"{key}={mine.get(key)}" for key in differing), []).append(record)
        else:
            alike.append(record)
    return alike, other


def _most_common(settings: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The settings that occur most often, the first of them where several do."""
    texts = [repr(sorted(one.items())) for one in settings]
    return settings[texts.index(Counter(texts).most_common(1)[0][0])]


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
        return "/".join([*record.row(keys), f"seed {record.seed}"])

    if dataset in SYNTHETIC:
        published = f" with the published ones (on {layout.dataset})" if layout.dataset else " with anybody's"
        yield f"Procedural faces (dataset={dataset}): the numbers are not comparable{published}."
    elif layout.dataset and dataset != layout.dataset:
        yield f"On {dataset}; the published numbers are on {layout.dataset}."
    left_out = {record.folder for excluded in other.values() for record in excluded}
    done = [record for record in records if record.state == "done" and record.folder not in left_out]
    if done:
        protocols = sorted(
            {f"{r.metrics['data']['protocol']} (fingerprint {r.metrics['data']['fingerprint']})" for r in done}
        )
        yield f"Mean ± standard deviation over seeds {', '.join(map(str, seeds))}; data: {'; '.join(protocols)}."
        yield from _budget(done)
        commits = sorted({str(record.metrics["run"]["commit"]) for record in done})
        yield f"Commit {commits[0]}." if len(commits) == 1 else f"Mixed commits: {', '.join(commits)}."
    for difference, excluded in other.items():
        yield f"Left out for other settings ({difference}): {', '.join(map(named, excluded))}."
    failed = [record for record in records if record.state == "failed"]
    if failed:
        yield "Failed, see failed.txt in the run's folder: " + ", ".join(map(named, failed)) + "."
    told = {(record.row(keys), record.seed) for record in [*done, *failed]}
    missing = ["/".join([*row, f"seed {seed}"]) for row in rows for seed in seeds if (row, seed) not in told]
    if missing:
        yield f"Fewer runs than asked for, not finished: {', '.join(missing)}."


def _budget(done: Sequence[Record]) -> Iterator[str]:
    """How long the runs trained on what, where they all say the same."""
    shown = {
        "dataset.image_size": "{} px",
        "dataset.batch_size": "batches of {}",
        "trainer.max_epochs": "{} epochs",
        "trainer.limit_train_batches": "{} batches each",
    }
    texts = []
    for key, text in shown.items():
        values = {record.settings.get(key) for record in done}
        if len(values) == 1 and (value := values.pop()) is not None and not isinstance(value, float):
            texts.append(text.format(value).removesuffix("s" if value == 1 else ""))
    if texts:
        yield f"Budget: {', '.join(texts)}."
