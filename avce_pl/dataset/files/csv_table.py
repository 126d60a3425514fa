"""CSV lists, whose errors name file and line."""

import difflib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avce_pl.dataset.core.index import OUTSIDE_ROOT
from avce_pl.dataset.core.split_protocol import Finding
from avce_pl.dataset.files.folders import relative
from avce_pl.errors import AvceError
from avce_pl.utils.text import enumerate_names

Mask = Any  # booleans, as an array or a pandas series


class Table:
    """The rows of a CSV file as text without surrounding blanks, by our names of the columns.

    Attributes:
        path: The file.
        where: The same, from the root.
        rows: One row per line that is not empty, numbered from 0.
        lines: Line number of each row.
        sound: Whether each row is right, as far as it was checked.
        problems: What is wrong with the others.
        headerless: Whether the first line is a row instead of a header.
        names: Our name of a column -> the file's.

    Args:
        root: Folder of the data set.
        path: The file; its first line names the columns, in any order.
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
        headerless = self.headerless = bool(order) and order[0].lower() not in self._first_line()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)  # longer lines would lose their ends
                cells = pd.read_csv(
                    path,
                    dtype=str,
                    keep_default_na=False,
                    skip_blank_lines=False,
                    encoding="utf-8-sig",
                    header=None if headerless else 0,
                    index_col=False,
                    nrows=most,
                ).fillna("")
        except pd.errors.EmptyDataError:
            raise AvceError(f"{path} is empty.") from None
        except (pd.errors.ParserError, pd.errors.ParserWarning, UnicodeDecodeError, OSError) as error:
            raise AvceError(f"{path} cannot be read as a CSV file: {error}.") from error
        if headerless:
            if cells.shape[1] != len(order):
                raise AvceError(
                    f"{path}, line 1: neither names of columns ({', '.join(order)}) nor a row of {len(order)} cells."
                )
            cells.columns = list(order)
        self.names = {column: self._find(names, list(cells.columns)) for column, names in columns.items()}
        self.rows = pd.DataFrame({column: cells[name].str.strip() for column, name in self.names.items()})
        self.lines: NDArray[np.int64] = np.arange(len(cells)) + (1 if headerless else 2)
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
        first, *others = self.lines[wrong].tolist()
        cell = self.rows[column][wrong].iloc[0]
        cell = f"{cell[:40]}..." if len(cell) > 60 else cell
        more = f" The same goes for line {enumerate_names(map(str, others))}." if others else ""
        text = f"Line {first}: {self.names[column]} {cell!r} {complaint}{more}"
        self.problems.append(Finding(True, kind, self.where, text))

    def place(self, row: int) -> str:
        """Where a row is, for a message."""
        return f"{self.where} line {self.lines[row]}"

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
        self.refuse(~finite, "bad_label", column, "is not a number.")
        return np.where(finite, numbers, 0)

    def integers(self, column: str) -> NDArray[np.int64]:
        """A column of whole numbers; refuses all other cells, and gives 0 for them."""
        numbers = self.numbers(column)
        whole, small = numbers == np.round(numbers), np.abs(numbers) <= 2**31
        self.refuse(~whole, "bad_label", column, "is not a whole number.")
        self.refuse(~small, "bad_label", column, "is too large.")
        return np.where(whole & small, numbers, 0).astype(np.int64)

    def _first_line(self) -> list[str]:
        try:
            with self.path.open(encoding="utf-8-sig", errors="replace") as file:
                return [cell.strip(' "\r\n').lower() for cell in file.readline().split(",")]
        except OSError as error:
            raise AvceError(f"{self.path} cannot be read: {error.strerror}.") from error

    def _find(self, known: Sequence[str], there: list[str]) -> str:
        by_key = {name.strip().lower(): name for name in there}
        for key in known:
            if key in by_key:
                return by_key[key]
        near = difflib.get_close_matches(known[0], by_key, n=1, cutoff=0.5)
        hint = f" Did you mean to call {by_key[near[0]]!r} so?" if near else ""
        wanted = " or ".join(known[:4])
        raise AvceError(f"{self.path} has no column {wanted}; its first line names {enumerate_names(there)}.{hint}")
