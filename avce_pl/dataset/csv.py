"""Your own faces, as CSV lists: the layout of the AVCE, CAF and FER-Zoo releases."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Unpack

import numpy as np
import pandas as pd
from pydantic import Field

from avce_pl.dataset.files import FileDataModule, FileOptions, enumerate_names
from avce_pl.dataset.index import OUTSIDE_ROOT, FaceIndex
from avce_pl.dataset.protocol import Protocol
from avce_pl.errors import AvceError

_LISTS = {
    "train": ("training_list.csv", "training.csv"),
    "val": ("validation_list.csv", "validation.csv"),
    "test": ("test_list.csv", "test.csv"),
}
_COLUMNS = {
    "path": ("subdirectory_filepath", "filepath", "path", "image", "image_path", "file_path", "filename", "file"),
    "valence": ("valence",),
    "arousal": ("arousal",),
}


class CsvDataModule(FileDataModule):
    """Images listed in ``training_list.csv`` and ``validation_list.csv`` (or ``training.csv``, ``validation.csv``).

    A list names its columns in the first line, in any order: the image (``subDirectory_filePath``,
    ``filePath``, ``path`` or ``image``), ``valence`` and ``arousal``; others are ignored. Images lie relative
    to the root, or to ``train/``, ``val/`` and ``test/`` in it. Without a ``test_list.csv`` or ``test.csv``
    the validation images serve as test images too, although the best epoch was chosen on them; `describe`
    says so.

    Args:
        root: Folder of the lists.
        protocol: There is one: the lists' own splits.
        scale: Labels are divided by it: 1 for labels in [-1, 1], 10 for [-10, 10].
        options: See `FileDataModule`.
    """

    protocols: ClassVar[Mapping[str, Protocol]] = {"csv": Protocol("the lists' own splits")}

    def __init__(
        self,
        root: str | None,
        protocol: Literal["csv"] = "csv",
        scale: Annotated[float, Field(gt=0)] = 1.0,
        **options: Unpack[FileOptions],
    ) -> None:
        super().__init__(root, protocol, **options)
        self.scale = scale

    def annotations(self) -> list[Path]:
        """The lists that are there, training first."""
        if not self.root.is_dir():
            raise self.missing("training_list.csv and validation_list.csv")
        return list(self.lists().values())

    def settings(self) -> dict[str, Any]:
        """`scale`."""
        return {"scale": self.scale}

    def read(self) -> FaceIndex:
        """Reads the lists, training first."""
        tables = [self._read_list(split, path) for split, path in self.lists().items()]
        return FaceIndex.build(pd.concat(tables, ignore_index=True), protocol="csv")

    def lists(self) -> dict[str, Path]:
        """The lists by split, training first."""
        found = {}
        for split, names in _LISTS.items():
            paths = [self.root / name for name in names if (self.root / name).is_file()]
            if len(paths) > 1:
                raise AvceError(f"{self.root} holds both {names[0]} and {names[1]}; remove one of them.")
            if paths:
                found[split] = paths[0]
            elif split != "test":
                raise self.missing(f"{names[0]} or {names[1]}")
        return found

    def _read_list(self, split: str, path: Path) -> pd.DataFrame:
        cells, names = read_cells(path)
        table = pd.DataFrame({column: cells[name].str.strip() for column, name in names.items()})
        lines = cells.index.to_numpy()

        def refuse(wrong: "pd.Series[bool]", column: str, complaint: str) -> None:
            if wrong.any():
                first = int(np.argmax(wrong.to_numpy(bool)))
                value = table[column].iloc[first]
                more = f" The same goes for {int(wrong.sum()) - 1} more." if wrong.sum() > 1 else ""
                raise AvceError(f"{path}, line {lines[first]}: {names[column]} {value!r} {complaint}{more}")

        refuse(table["path"] == "", "path", "names no image.")
        outside = table["path"].str.contains(OUTSIDE_ROOT, regex=True)
        refuse(outside, "path", "leads out of the data set's folder; paths must be relative and without '..'.")
        labels = {}
        for column in ("valence", "arousal"):
            number = pd.to_numeric(table[column], errors="coerce")
            refuse(~np.isfinite(number), column, "is not a number.")
            wrong = number.abs() > self.scale
            refuse(wrong, column, f"is outside [-{self.scale:g}, {self.scale:g}]. {_advice(number, self.scale)}")
            labels[column] = number / self.scale
        images = self._folder(split, table["path"]) + table["path"]
        return pd.DataFrame({"path": images, "split": split, **labels})

    def _folder(self, split: str, paths: "pd.Series[str]") -> str:
        """Prefix under which more of the first hundred images lie: the root itself or the split's folder."""
        sample = paths.iloc[:100]

        def found(prefix: str) -> int:
            return sum((self.root / (prefix + path)).is_file() for path in sample)

        return max(("", f"{split}/"), key=found)


def read_cells(path: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    """A list as it was written, without blank lines.

    Returns:
        All cells as text, numbered by the lines of the file, and the file's own names of the columns path, valence
        and arousal.

    Raises:
        AvceError: the file cannot be read, lacks one of the three, or lists nothing.
    """
    try:
        cells = pd.read_csv(
            path, dtype=str, keep_default_na=False, skip_blank_lines=False, encoding="utf-8-sig"
        ).fillna("")
    except pd.errors.EmptyDataError:
        raise AvceError(f"{path} is empty.") from None
    except (pd.errors.ParserError, UnicodeDecodeError, OSError) as error:
        raise AvceError(f"{path} cannot be read as a CSV file: {error}.") from error
    names = {column: _find(column, list(cells.columns), path) for column in _COLUMNS}
    cells.index = pd.RangeIndex(2, len(cells) + 2)  # the header is line 1
    cells = cells[cells[list(names.values())].apply(lambda column: column.str.strip() != "").any(axis=1)]
    if cells.empty:
        raise AvceError(f"{path} lists no images.")
    return cells, names


def _find(column: str, names: list[str], path: Path) -> str:
    by_key = {name.strip().lower(): name for name in names}
    for key in _COLUMNS[column]:
        if key in by_key:
            return by_key[key]
    near = difflib.get_close_matches(column, by_key, n=1, cutoff=0.5)
    hint = f" Did you mean to call {by_key[near[0]]!r} so?" if near else ""
    wanted = " or ".join(_COLUMNS[column][:4])
    raise AvceError(f"{path} has no column {wanted}; its first line names {enumerate_names(names)}.{hint}")


def _advice(labels: "pd.Series[float]", scale: float) -> str:
    largest = labels.abs().max()
    if labels[labels.abs() > scale].isin([-2, -5]).all():
        return "-2 and -5 mark faces without a label in AffectNet and Aff-Wild2; take those lines out."
    return f"If the labels are on a larger scale, say so: dataset.scale={10 ** np.ceil(np.log10(largest)):g}."
