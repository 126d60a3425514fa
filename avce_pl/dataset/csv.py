"""The user's own faces in CSV lists, the layout of the AVCE, CAF and FER-Zoo releases."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Unpack

import numpy as np
import pandas as pd
from pydantic import Field

from avce_pl.dataset.core.index import FaceIndex
from avce_pl.dataset.core.split_protocol import Finding, Protocol
from avce_pl.dataset.files.csv_table import LIST_SUFFIXES, PARQUET, Table
from avce_pl.dataset.files.datamodule import FileDataModule, FileOptions
from avce_pl.dataset.files.other_names import other_names
from avce_pl.dataset.files.reading import Reading
from avce_pl.dataset.files.text import WINDOWS, find_encoding
from avce_pl.errors import AvceError

_LISTS = {
    "train": ("training_list", "training"),
    "val": ("validation_list", "validation"),
    "test": ("test_list", "test"),
}
COLUMNS = {
    "path": ("subdirectory_filepath", "filepath", "path", "image", "image_path", "file_path", "filename", "file"),
    "valence": ("valence",),
    "arousal": ("arousal",),
}


class CsvDataModule(FileDataModule):
    """Images listed in ``training_list.csv`` and ``validation_list.csv`` (or ``training.csv``, ``validation.csv``).

    The lists may also end in ``.tsv`` (cells separated by tabs) or ``.parquet``; see `read_cells`.

    A list names its columns in the first line, in any order: the image (``subDirectory_filePath``,
    ``filePath``, ``path`` or ``image``), ``valence`` and ``arousal``; others are ignored. Images lie relative
    to the root, or to ``train/``, ``val/`` and ``test/`` in it. Without a ``test_list.csv`` or ``test.csv``
    the validation images are also the test images, although the best epoch was chosen on them; `describe` says so.

    Args:
        root: Folder of the lists.
        protocol: There is one: the lists' own splits.
        scale: Half the width of the labels' scale: 1 for labels in [-1, 1], 10 for [-10, 10], 4 for 1 to 9.
        centre: Its neutral value, 5 for 1 to 9: a label is (value - centre) / scale.
        options: See `FileDataModule`.
    """

    protocols: ClassVar[Mapping[str, Protocol]] = {"csv": Protocol("the lists' own splits")}

    def __init__(
        self,
        root: str | None,
        protocol: Literal["csv"] = "csv",
        scale: Annotated[float, Field(gt=0)] = 1.0,
        centre: float = 0.0,
        **options: Unpack[FileOptions],
    ) -> None:
        super().__init__(root, protocol, **options)
        self.scale = scale
        self.centre = centre

    def annotations(self) -> list[Path]:
        """The lists that exist, training first."""
        if not self.root.is_dir():
            raise self.missing("training_list.csv and validation_list.csv")
        return list(self.lists().values())

    def settings(self) -> dict[str, Any]:
        """`scale` and `centre`."""
        return {"scale": self.scale, "centre": self.centre}

    def read(self) -> Reading:
        """Reads the lists, training first."""
        problems: list[Finding] = []
        tables, errors = [], []
        for split, path in self.lists().items():
            try:
                tables.append(self._read_list(split, path, problems))
            except AvceError as error:  # all lists are read, so that all faults are known at once
                errors.append(str(error))
        if errors:
            raise AvceError("\n".join(errors))
        return Reading(FaceIndex.build(pd.concat(tables, ignore_index=True), protocol="csv"), problems)

    def lists(self) -> dict[str, Path]:
        """The lists by split, training first."""
        found = {}
        for split, names in _LISTS.items():
            files = [f"{name}{suffix}" for name in names for suffix in LIST_SUFFIXES if self._holds(name + suffix)]
            if len(files) > 1:
                raise AvceError(f"{self.root} holds both {files[0]} and {files[1]}; remove one of them.")
            if files:
                found[split] = self.root / files[0]
            elif split != "test":
                raise self.missing(" or ".join(f"{name}.csv" for name in names))
        return found

    def findings(self) -> list[Finding]:
        """Lists that are not UTF-8."""
        text = f"The list is not UTF-8 and is read as {WINDOWS}, an encoding of Windows. Save it as UTF-8 to be sure."
        paths = [path for path in self.lists().values() if path.suffix.lower() != PARQUET]
        return [Finding(False, "encoding", path.name, text) for path in paths if find_encoding(path) == WINDOWS]

    def _holds(self, name: str) -> bool:
        return (self.root / name).is_file()

    def _read_list(self, split: str, path: Path, problems: list[Finding]) -> pd.DataFrame:
        table = Table(self.root, path, COLUMNS)
        images = table.paths()
        labels = {}
        for column in ("valence", "arousal"):
            number = pd.Series(table.numbers(column))
            wrong = (number - self.centre).abs() > self.scale
            if wrong.any():
                low, high = self.centre - self.scale, self.centre + self.scale
                text = f"is outside [{low:g}, {high:g}]. {_advice(number[wrong], number)}"
                table.refuse(wrong, "label_out_of_range", column, text)
            labels[column] = (number - self.centre) / self.scale
        problems += table.problems
        rows = pd.DataFrame({"path": self._folder(split, images[table.sound]) + images, "split": split, **labels})
        return rows[table.sound]

    def _folder(self, split: str, paths: "pd.Series[str]") -> str:
        """Prefix under which more of the first hundred images lie: the root itself or the split's folder."""
        sample = paths.iloc[:100]

        def found(prefix: str) -> int:
            missing = [path for path in sample if not (self.root / (prefix + path)).is_file()]
            return len(sample) - len(missing) + len(other_names(self.root, prefix + pd.Series(missing, dtype=str)))

        return max(("", f"{split}/"), key=found)


def _advice(outside: "pd.Series[float]", labels: "pd.Series[float]") -> str:
    if outside.isin([-2, -5]).all():
        return "-2 and -5 mark faces without a label in AffectNet and Aff-Wild2; remove those lines."
    scale = f"If the labels have a larger scale, set dataset.scale={10 ** np.ceil(np.log10(labels.abs().max())):g}."
    centre = "If its neutral value is not 0, set both dataset.centre and dataset.scale: 5 and 4 for labels from 1 to 9."
    if labels.min() < 0:
        return scale
    return centre if labels.min() > 0 else f"{scale} {centre}"
