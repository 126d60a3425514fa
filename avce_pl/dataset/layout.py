"""What readers find and read a layout with: folders at any depth, and lists whose errors name file and line."""

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avce_pl.dataset.files import enumerate_names
from avce_pl.dataset.index import OUTSIDE_ROOT
from avce_pl.errors import AvceError

Mask = Any  # booleans, as an array or a pandas series


def folders(root: Path, leaves: Sequence[str] = (), depth: int = 5) -> Iterator[Path]:
    """The root and the folders in it, nearest first: archives are unpacked in one or the other depth.

    Args:
        root: Where to begin.
        leaves: Names of folders that are neither given nor entered, because they hold too much. So are
            folders whose name is a number, and hidden ones.
        depth: How deep to look; 0 is the root alone.
    """
    level = [root]
    for _ in range(depth + 1):
        yield from level
        level = [path for folder in level for path in _subfolders(folder, leaves)]


def _subfolders(folder: Path, leaves: Sequence[str]) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
    except OSError:
        return []
    return [folder / name for name in names if not (name.isdigit() or name.startswith(".") or name in leaves)]


class Table:
    """The rows of a CSV file as text without surrounding blanks, by our names of the columns.

    Attributes:
        path: The file.
        rows: One row per line that is not empty, numbered from 0.
        lines: Line number of each row.
        names: Our name of a column -> the file's.

    Args:
        path: The file; its first line names the columns, in any order.
        columns: Our name of a column -> the names it goes by, in lower case, the usual one first.
        order: Names of the columns where the first line is no header, as for AffectNet's validation.csv: that is,
            where it does not hold the first of them.

    Raises:
        AvceError: the file cannot be read, lists nothing or lacks a column.
    """

    def __init__(self, path: Path, columns: Mapping[str, Sequence[str]], order: Sequence[str] = ()) -> None:
        self.path = path
        headerless = bool(order) and order[0].lower() not in self._first_line()
        try:
            cells = pd.read_csv(
                path,
                dtype=str,
                keep_default_na=False,
                skip_blank_lines=False,
                encoding="utf-8-sig",
                header=None if headerless else 0,
                index_col=False,
            ).fillna("")
        except pd.errors.EmptyDataError:
            raise AvceError(f"{path} is empty.") from None
        except (pd.errors.ParserError, UnicodeDecodeError, OSError) as error:
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
        blank = (self.rows == "").all(axis=1).to_numpy()
        if blank.any():
            self.keep(~blank)
        if self.rows.empty:
            raise AvceError(f"{path} lists no images.")

    def keep(self, mask: Mask) -> None:
        """Drops the other rows."""
        self.rows = self.rows[mask].reset_index(drop=True)
        self.lines = self.lines[mask]

    def refuse(self, wrong: Mask, column: str, complaint: str) -> None:
        """Raises an error about the first row that is wrong, if there is one.

        Raises:
            AvceError: with file, line, the cell and the complaint, a sentence that continues from the cell.
        """
        wrong = np.asarray(wrong, bool)
        if wrong.any():
            first = int(np.argmax(wrong))
            more = f" The same goes for {int(wrong.sum()) - 1} more." if wrong.sum() > 1 else ""
            cell = self.rows[column].iloc[first]
            cell = f"{cell[:40]}..." if len(cell) > 60 else cell
            raise AvceError(f"{self.path}, line {self.lines[first]}: {self.names[column]} {cell!r} {complaint}{more}")

    def paths(self, column: str = "path") -> "pd.Series[str]":
        """A column of paths of images.

        Raises:
            AvceError: one is empty, absolute or climbs out of the root.
        """
        paths = self.rows[column].str.replace("\\", "/", regex=False)
        self.refuse(paths == "", column, "names no image.")
        outside = paths.str.contains(OUTSIDE_ROOT, regex=True)
        self.refuse(outside, column, "leads out of the data set's folder; paths must be relative and without '..'.")
        return paths

    def numbers(self, column: str) -> NDArray[np.float64]:
        """A column of numbers.

        Raises:
            AvceError: a cell is no finite number.
        """
        numbers = pd.to_numeric(self.rows[column], errors="coerce").to_numpy(np.float64)
        self.refuse(~np.isfinite(numbers), column, "is not a number.")
        return numbers

    def integers(self, column: str) -> NDArray[np.int64]:
        """A column of whole numbers.

        Raises:
            AvceError: a cell is none.
        """
        numbers = self.numbers(column)
        self.refuse(numbers != np.round(numbers), column, "is not a whole number.")
        self.refuse(np.abs(numbers) > 2**31, column, "is too large.")
        return numbers.astype(np.int64)

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
