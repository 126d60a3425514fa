"""Lists as CSV, TSV or Parquet files, whose errors name file and line."""

import csv
import difflib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from avce_pl.dataset.core.index import OUTSIDE_ROOT
from avce_pl.dataset.core.split_protocol import Finding
from avce_pl.dataset.files.folders import relative
from avce_pl.dataset.files.text import open_text
from avce_pl.errors import AvceError
from avce_pl.utils.text import enumerate_names

Mask = Any  # booleans, as an array or a pandas series

PARQUET = ".parquet"
LIST_SUFFIXES = (".csv", ".tsv", PARQUET)
"""Endings of the lists that `Table` reads."""

_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
_ADVICE = {
    ",": "Rename it to .csv.",
    "\t": "Rename it to .tsv.",
    ";": "Save it with commas between columns and points in numbers; spreadsheets do so in the region United Kingdom.",
}


class Table:
    """The rows of a list as text without surrounding blanks, by our names of the columns.

    Attributes:
        path: The file.
        where: The same, from the root.
        rows: One row per line that is not empty, numbered from 0.
        first_line: Line number of the first row in the file.
        lines: Line number of each row; in a Parquet file its number from 1.
        sound: Whether each row is right, as far as it was checked.
        problems: What is wrong with the others.
        headerless: Whether the first line is a row instead of a header.
        names: Our name of a column -> the file's.

    Args:
        root: Folder of the data set.
        path: The file, see `read_cells`; its first line names the columns, in any order.
        columns: Our name of a column -> the names it goes by, in lower case, the usual one first.
        order: Names of the columns for files that may have no header, as AffectNet's validation.csv; the first line
            is a header if it holds the first of them.
        most: How many rows are read at the most; None for all.

    Raises:
        AvceError: the file cannot be read, lists nothing or lacks a column.
    """

    def __init__(
        self,
        root: Path,
        path: Path,
        columns: Mapping[str, Sequence[str]],
        order: Sequence[str] = (),
        most: int | None = None,
    ) -> None:
        self.path = path
        self.where = relative(root, path)
        self.problems: list[Finding] = []
        self._parquet = path.suffix.lower() == PARQUET
        header = read_header(path)
        headerless = self.headerless = bool(order) and order[0].lower() not in map(_key, header)
        if headerless and len(header) != len(order):
            raise AvceError(
                f"{path}, line 1: neither names of columns ({', '.join(order)}) nor a row of {len(order)} cells."
            )
        there = list(order) if headerless else header
        places = {column: self._find(names, there) for column, names in columns.items()}
        cells = read_cells(path, headerless, most)
        self.names = {column: there[place] for column, place in places.items()}
        self.rows = pd.DataFrame({column: cells.iloc[:, place].str.strip() for column, place in places.items()})
        self.first_line = 1 if headerless or self._parquet else 2
        self.lines: NDArray[np.int64] = np.arange(len(cells)) + self.first_line
        self.sound = np.ones(len(cells), bool)
        blank = (self.rows == "").all(axis=1).to_numpy()
        if blank.any():
            self.keep(~blank)
        if self.rows.empty:
            raise AvceError(f"{path} lists no images.")

    def keep(self, mask: Mask) -> None:
        """Drops the other rows."""
        self.rows = self.rows[mask].reset_index(drop=True)
        self.lines = self.lines[mask]
        self.sound = self.sound[mask]

    def refuse(self, wrong: Mask, kind: str, column: str, complaint: str) -> None:
        """Records wrong rows as one problem, except rows that have a problem already.

        Args:
            wrong: Which rows.
            kind: Of the finding.
            column: Where in the row.
            complaint: A sentence that continues from the cell.
        """
        wrong = np.asarray(wrong, bool) & self.sound
        if not wrong.any():
            return
        self.sound &= ~wrong
        unit = "row" if self._parquet else "line"
        first, *others = self.lines[wrong].tolist()
        cell = self.rows[column][wrong].iloc[0]
        cell = f"{cell[:40]}..." if len(cell) > 60 else cell
        more = f" The same goes for {unit} {enumerate_names(map(str, others))}." if others else ""
        text = f"{unit.capitalize()} {first}: {self.names[column]} {cell!r} {complaint}{more}"
        self.problems.append(Finding(True, kind, self.where, text, int(wrong.sum())))

    def place(self, row: int) -> str:
        """Where a row is, for a message."""
        return f"{self.where} {'row' if self._parquet else 'line'} {self.lines[row]}"

    def paths(self, column: str = "path") -> "pd.Series[str]":
        """A column of image paths; refuses those that are empty, absolute or too long, or lead out of the root."""
        paths = self.rows[column].str.replace("\\", "/", regex=False)
        self.refuse(paths == "", "bad_path", column, "names no image.")
        outside = paths.str.contains(OUTSIDE_ROOT, regex=True)
        text = "leads out of the data set's folder; paths must be relative and without '..'."
        self.refuse(outside, "bad_path", column, text)
        self.refuse(paths.str.contains("[^/]{250}"), "bad_path", column, "is too long for the name of a file.")
        return paths

    def numbers(self, column: str) -> NDArray[np.float64]:
        """A column of numbers; refuses cells that are not finite numbers, and gives 0 for them."""
        numbers = pd.to_numeric(self.rows[column], errors="coerce").to_numpy(np.float64)
        finite = np.isfinite(numbers)
        comma = self.rows[column].str.fullmatch(r"[+-]?\d*,\d+")
        self.refuse(comma, "bad_label", column, "has a decimal comma. Write all numbers with a point, such as 0.31.")
        self.refuse(~finite, "bad_label", column, "is not a number.")
        return np.where(finite, numbers, 0)

    def integers(self, column: str) -> NDArray[np.int64]:
        """A column of whole numbers; refuses all other cells, and gives 0 for them."""
        numbers = self.numbers(column)
        whole, small = numbers == np.round(numbers), np.abs(numbers) <= 2**31
        self.refuse(~whole, "bad_label", column, "is not a whole number.")
        self.refuse(~small, "bad_label", column, "is too large.")
        return np.where(whole & small, numbers, 0).astype(np.int64)

    def _find(self, known: Sequence[str], there: list[str]) -> int:
        """The place of the column that goes by one of these names."""
        keys = [_key(name) for name in there]
        for name in known:
            places = [place for place, key in enumerate(keys) if key == name]
            if len(places) > 1:
                both = " and ".join(repr(there[place]) for place in places)
                raise AvceError(
                    f"{self.path} has the columns {both}, which are the same name but for case and blanks. Rename or "
                    "remove the one that is not meant."
                )
            if places:
                return places[0]
        near = difflib.get_close_matches(known[0], keys, n=1, cutoff=0.5)
        hint = f" Did you mean to call {there[keys.index(near[0])]!r} so?" if near else ""
        wanted = " or ".join(known[:4])
        raise AvceError(f"{self.path} has no column {wanted}; its first line names {enumerate_names(there)}.{hint}")


def read_header(path: Path) -> list[str]:
    """The cells of a list's first line, or the names of a Parquet file's columns.

    Raises:
        AvceError: the file cannot be read, is empty, or separates its cells by another character than its ending says.
    """
    if path.suffix.lower() == PARQUET:
        return _parquet_columns(path)
    separator = _separator(path)
    with open_text(path) as file:
        line = file.readline()
    if not line:
        raise AvceError(f"{path} is empty.")
    if "\0" in line:
        raise AvceError(f"{path} is not a text file. Save the list as CSV in UTF-8, or unpack it again.")
    cells = next(csv.reader([line], delimiter=separator), [""])
    for other, name in _SEPARATORS.items():
        if separator not in line and other in line:
            raise AvceError(
                f"{path} separates its columns by {name}s, which {path.suffix} files here do not. {_ADVICE[other]}"
            )
    return cells


def read_cells(path: Path, headerless: bool = False, most: int | None = None) -> pd.DataFrame:
    """The cells of a list as text; columns of the same name are all there.

    Args:
        path: A CSV file; with the ending .tsv its cells are separated by tabs; .parquet.
        headerless: Whether the first line is a row.
        most: How many rows are read at the most; None for all.

    Raises:
        AvceError: the file cannot be read, or a line has more cells than the first.
    """
    if path.suffix.lower() == PARQUET:
        return _read_parquet(path)[:most]
    try:
        with warnings.catch_warnings(), open_text(path) as file:
            warnings.simplefilter("error", pd.errors.ParserWarning)  # longer lines would lose their ends
            cells: pd.DataFrame = pd.read_csv(
                file,
                sep=_separator(path),
                dtype=str,
                keep_default_na=False,
                skip_blank_lines=False,
                header=None if headerless else 0,
                index_col=False,
                nrows=most,
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning):
        raise AvceError(f"{path} cannot be read as a CSV file: {_broken_line(path)}") from None
    return cells.fillna("")


def _key(name: str) -> str:
    return name.strip().lower()


def _separator(path: Path) -> str:
    return "\t" if path.suffix.lower() == ".tsv" else ","


def _broken_line(path: Path) -> str:
    """What is wrong with the first line that breaks the table, and what to do."""
    with open_text(path) as file:
        lines = csv.reader(file, delimiter=_separator(path))
        width = len(next(lines))
        for cells in lines:
            if len(cells) > width:
                return (
                    f"line {lines.line_num} has {len(cells)} cells, the first has {width}. Put cells that hold the "
                    "separator into quotation marks, and write numbers with a point, not with a comma."
                )
    return "a quotation mark is never closed. Close or remove it."


def _parquet_columns(path: Path) -> list[str]:
    """The columns of a Parquet file that hold single values."""
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError):
        raise AvceError(f"{path} is not a whole Parquet file. Write it again, or save the list as CSV.") from None
    return [field.name for field in schema if not pa.types.is_nested(field.type)]


def _read_parquet(path: Path) -> pd.DataFrame:
    cells = pq.read_table(path, columns=_parquet_columns(path)).to_pandas(ignore_metadata=True).astype(object)
    texts: pd.DataFrame = cells.where(cells.notna(), "").astype(str)
    return texts
