"""A table of the paper from run folders alone: mean ± sd over seeds, beside what was published."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pandas as pd
from tabulate import tabulate

from avce_pl.errors import AvceError
from avce_pl.report.output import write_output
from avce_pl.report.tables import collect
from avce_pl.report.tables import notes as table_notes
from avce_pl.report.tables.collect import has_few_updates
from avce_pl.report.tables.contrast import contrast_of_runs
from avce_pl.report.tables.layout import MISSING, Row, TableLayout, plain_layout, read_layout
from avce_pl.runs.records import PATTERN, RunRecord, is_procedural, read_records, tested_on_validation
from avce_pl.utils.resources import TRAIN

PUBLISHED = "†"
"""Marks a row that is not trained here."""

CONTRAST = "contrast: |Sp−Sm|, |y_a−y_n|"
"""Title of the column of how much the two views of a face differed."""

_LATEX = {"±": r"$\pm$", "−": "$-$", "×": r"$\times$", "|": r"\textbar{}", PUBLISHED: r"$\dagger$"}


@dataclass(frozen=True)
class ResultTable:
    """A table that is ready to be printed.

    Attributes:
        layout: How it is shown.
        dataset: The data set of its runs.
        lines: One line per row and metric, size or ``contrast/<measure>``: the columns of ``layout.rows``, ``metric``,
            ``mean``, ``sd`` (over seeds, of a sample), ``n``, ``mean_low`` and ``mean_high`` (the mean's 95 % t
            interval) and ``published``. On data that may be compared with the published ones also ``difference``; in a
            table with a reference also ``reference_difference``, ``reference_low``, ``reference_high``, ``pairs`` and
            ``excludes_zero``.
        notes: Sentences for the reader: data, seeds, failed and missing runs.
        literature: The rows that are not trained here, and printed as published.
        confusions: Of every row with runs that predict expressions: its options, the classes, and the counts of all
            its runs together, true classes as rows.
        warnings: The notes that its pictures show as well.
        contrast: The measured contrast of rows with a contrastive loss; empty for a table without such rows.
        on_validation: Whether its runs were tested on the images that chose the best epoch.
        untrained: The rows that were trained on too few batches to be meaningful.
        procedural: Whether its runs' faces are procedural.
    """

    layout: TableLayout
    dataset: str
    lines: pd.DataFrame
    notes: list[str]
    literature: Set[Row] = frozenset()
    confusions: Sequence[tuple[Row, list[str], list[list[int]]]] = ()
    warnings: Sequence[str] = ()
    contrast: Mapping[Row, str] = field(default_factory=dict)
    on_validation: bool = False
    untrained: Set[Row] = frozenset()
    procedural: bool = False

    @property
    def rows(self) -> list[Row]:
        """The options of every row."""
        return [tuple(row) for row in self.lines[list(self.layout.rows)].drop_duplicates().itertuples(index=False)]

    @property
    def names(self) -> list[list[str]]:
        """The printed names of every row."""
        return [self.named(row) for row in self.rows]

    def named(self, row: Row) -> list[str]:
        """The printed names of a row's options."""
        names = self.layout.names(row)
        return [f"{names[0]} {PUBLISHED}", *names[1:]] if row in self.literature else names

    def titled(self, metric: str) -> str:
        """The title of a metric, marked where it was measured on validation images."""
        return self.layout.metrics[metric] + (" (validation)" if self.on_validation else "")

    @property
    def cells(self) -> list[list[str]]:
        """The printed numbers of every row: sizes, and for every metric mean ± sd and what it is compared with."""
        columns = [self._column(self.lines[self.lines["metric"] == metric]) for metric in self.layout.metrics]
        counts = self.lines.groupby(list(self.layout.rows), sort=False)["n"].max()
        return [
            [
                *self._sizes(number),
                *(cell for column in columns for cell in column[number]),
                *([self.contrast.get(row, MISSING)] if self.contrast else []),
                *([self._updates(row)] if self.layout.least_updates else []),
                str(n),
                *([self._pairs(row)] if self.layout.reference else []),
            ]
            for number, (row, n) in enumerate(zip(self.rows, counts, strict=True))
        ]

    @property
    def headers(self) -> list[str]:
        """The column titles."""
        source = f" ({self.layout.dataset})" if self.layout.dataset else ""
        compared = [f"published{source}"] if self.has_published else []
        compared += ["difference"] if self.has_difference else []
        compared += ["vs. reference"] if self.layout.reference else []
        metrics = [
            column
            for metric, title in self.layout.metrics.items()
            for column in (self.titled(metric), *(f"{title} {part}" for part in compared))
        ]
        return [
            *(key.replace("_", " ") for key in self.layout.rows),
            *self.layout.sizes.values(),
            *(["params published"] if "parameters" in self.layout.published else []),
            *metrics,
            *([CONTRAST] if self.contrast else []),
            *(["updates"] if self.layout.least_updates else []),
            "n",
            *(["pairs"] if self.layout.reference else []),
        ]

    @property
    def has_published(self) -> bool:
        """Whether there are published numbers."""
        return bool(self.lines["published"].notna().any())

    @property
    def has_difference(self) -> bool:
        """Whether its numbers may be compared with the published ones."""
        return self.has_published and self.layout.comparable(procedural=self.procedural)

    def _sizes(self, number: int) -> list[str]:
        means = [self.lines[self.lines["metric"] == size]["mean"].iloc[number] for size in self.layout.sizes]
        sizes = [MISSING if pd.isna(mean) else f"{mean / 1e6:.2f}M" for mean in means]
        if "parameters" in self.layout.published:
            sizes.append(self.layout.published_of(self.rows[number]).get("parameters") or MISSING)
        return sizes

    def _updates(self, row: Row) -> str:
        own = self._of(row)
        mean = own[own["metric"] == "updates"]["mean"].iloc[0]
        if pd.isna(mean):
            return MISSING
        return f"{mean:,.0f}" + (", too few" if row in self.untrained else "")

    def _pairs(self, row: Row) -> str:
        if self.layout.is_reference(row) or row in self.literature:
            return MISSING
        return str(self._of(row)["pairs"].max())

    def _of(self, row: Row) -> pd.DataFrame:
        """The lines of a row."""
        return self.lines[(self.lines[list(self.layout.rows)] == list(row)).all(axis=1)]

    def _column(self, values: pd.DataFrame) -> list[list[str]]:
        def number(value: float, sign: str = "") -> str:
            return MISSING if pd.isna(value) else f"{value:{sign}.{self.layout.decimals}f}"

        lines = []
        for line in cast(list[dict[str, Any]], values.to_dict("records")):
            spread = "" if pd.isna(line["sd"]) else f" ± {number(line['sd'])}"
            lines.append([number(line["mean"]) + spread])
            if self.has_published:
                lines[-1].append(number(line["published"]))
            if self.has_difference:
                lines[-1].append(number(line["difference"], "+"))
            if self.layout.is_reference(tuple(line[key] for key in self.layout.rows)):
                lines[-1].append("reference")
            elif self.layout.reference:
                low, high = line["reference_low"], line["reference_high"]
                interval = "" if pd.isna(low) else f" [{number(low, '+')}, {number(high, '+')}]"
                mark = "*" if line["excludes_zero"] else ""
                lines[-1].append(number(line["reference_difference"], "+") + interval + mark)
        return lines

    def _print(self, form: str, separator: str = "|") -> str:
        rows = [[*name, *cells] for name, cells in zip(self.names, self.cells, strict=True)]
        escaped = [[cell.replace("|", separator) for cell in row] for row in [self.headers, *rows]]
        return tabulate(escaped[1:], escaped[0], tablefmt=form, disable_numparse=True)

    def markdown(self) -> str:
        """The table for a README."""
        notes = "".join(f"- {note}\n" for note in self.notes)
        return f"**{self.layout.title}**\n\n{self._print('github', chr(92) + '|')}\n\n{notes}"

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
        text = "\n".join([*lines, ""])
        for character, command in _LATEX.items():
            text = text.replace(character, command)
        return text

    def csv(self) -> str:
        """The unrounded numbers, one line per row and metric, after the notes as comments."""
        notes = "".join(f"# {note}\n" for note in [self.layout.title, *self.notes])
        source = {"published": f"published ({self.layout.dataset})"} if self.layout.dataset else {}
        rows = self.lines[list(self.layout.rows)].itertuples(index=False)
        said: dict[str, Any] = {"tested_on": "validation"} if self.on_validation else {}
        if self.contrast:
            said["contrast"] = [self.contrast.get(tuple(row), "") for row in rows]
        return notes + self.lines.assign(**said).rename(columns=source).to_csv(index=False)

    def write(self, folder: Path, name: str) -> list[Path]:
        """Writes ``<name>.md``, ``.csv`` and ``.tex`` into a folder, which is made where it is missing.

        Raises:
            AvceError: a file cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        texts = {"md": self.markdown(), "csv": self.csv(), "tex": self.latex()}
        return [write_output(folder / f"{name}.{ending}", text) for ending, text in texts.items()]


def make_table(name: str, outputs: Path, dataset: str | None = None, seeds: Sequence[int] = ()) -> ResultTable:
    """Makes a table from the run folders below ``<outputs>/<name>``, finished or not.

    Args:
        name: Of a table of the paper, such as "table2", or of any sweep.
        outputs: The sweep's ``output_root``.
        dataset: Which data set's runs, where the folder has several.
        seeds: The expected seeds; those of the table's sweep if empty.

    Raises:
        AvceError: there are no runs, or runs on several data sets.
    """
    layout = read_layout(name)
    records = read_table_records(name, layout, outputs)
    if not records:
        there = sorted(path.name for path in outputs.glob("*") if any(path.glob(PATTERN)))
        known = f"There are: {', '.join(there)}." if there else "The folder holds no runs."
        raise AvceError(
            f"{outputs / name} holds no runs. {known} Run `{TRAIN} -m experiment={name}` first (`make help` "
            "lists the tables of the paper), or say where its output_root is with --outputs FOLDER."
        )
    found = sorted({record.choices["dataset"] for record in records})
    if dataset is None and len(found) > 1:
        raise AvceError(f"{outputs / name} holds runs on {', '.join(found)}. Choose one with --dataset NAME.")
    dataset = dataset or found[0]
    if dataset not in found:
        raise AvceError(f"{outputs / name} holds no runs on {dataset}, only on {', '.join(found)}.")
    records = [record for record in records if record.choices["dataset"] == dataset]
    return _table(layout or plain_layout(name, records), dataset, records, seeds)


def read_table_records(name: str, layout: TableLayout | None, outputs: Path) -> list[RunRecord]:
    """All runs of a table or of a sweep, on any data set: in its own folder, and in the one it shares with a table."""
    if layout is None:
        return read_records(outputs / name)
    folders = dict.fromkeys([name, layout.folder])
    return [record for folder in folders for record in read_records(outputs / folder) if layout.has(record)]


def _table(layout: TableLayout, dataset: str, records: Sequence[RunRecord], seeds: Sequence[int]) -> ResultTable:
    keys = list(layout.rows)
    comparable, other = collect.comparable_runs(records, keys)
    trained = [*layout.swept, *(record.row(keys) for record in records)]
    published = [tuple(row) for row in layout.published.reindex(columns=keys).itertuples(index=False)]
    rows = list(dict.fromkeys([*published, *trained]))
    literature = frozenset(published) - frozenset(trained)
    runs: dict[Row, list[RunRecord]] = {row: [] for row in rows if row not in literature}
    for record in comparable:
        if record.state == "done":
            runs[record.row(keys)].append(record)
    procedural = any(is_procedural(dataset, record.metrics) for record in records)
    lines = collect.lines(layout, rows, runs, procedural=procedural)
    warnings = list(table_notes.warnings(layout, dataset, runs, procedural=procedural))
    notes = [*warnings, *table_notes.notes(layout, records, runs, other, lines, seeds or layout.seeds)]
    if literature:
        notes.append(f"{PUBLISHED} as published, on {layout.dataset}; not trained here.")
    notes += layout.remarks
    return ResultTable(
        layout,
        dataset,
        lines,
        notes,
        literature,
        collect.confusions(runs),
        warnings,
        {row: text for row, found in runs.items() if (text := contrast_of_runs(found)) is not None},
        any(tested_on_validation(record.metrics) for found in runs.values() for record in found),
        frozenset(row for row, found in runs.items() if any(has_few_updates(layout, run) for run in found)),
        procedural,
    )
