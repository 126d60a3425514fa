"""The user's own faces in CSV lists, the layout of the AVCE, CAF and FER-Zoo releases."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Unpack

import numpy as np
import pandas as pd
from pydantic import Field

from avce_pl.dataset.core.expressions import Codes, to_codes
from avce_pl.dataset.core.index import EXPRESSION_NAMES, LABELS, FaceIndex
from avce_pl.dataset.core.split_protocol import Finding, Protocol
from avce_pl.dataset.files.csv_table import LIST_SUFFIXES, PARQUET, Table, read_header
from avce_pl.dataset.files.datamodule import FileDataModule, FileOptions
from avce_pl.dataset.files.other_names import other_names
from avce_pl.dataset.files.reading import Reading
from avce_pl.dataset.files.text import WINDOWS, find_encoding
from avce_pl.errors import AvceError
from avce_pl.utils.text import enumerate_names

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
_EXPRESSION = ("expression", "emotion", "label", "class")
_EXTRA = {"expression": _EXPRESSION, "subject": ("subject",), "video": ("video",)}
"""Columns that are read where they exist."""


class CsvDataModule(FileDataModule):
    """Images listed in ``training_list.csv`` and ``validation_list.csv`` (or ``training.csv``, ``validation.csv``).

    The lists may also end in ``.tsv`` (cells separated by tabs) or ``.parquet``; see `read_cells`.

    A list names its columns in the first line, in any order: the image (``subDirectory_filePath``,
    ``filePath``, ``path`` or ``image``), ``valence`` and ``arousal``, or ``expression`` under the protocols of
    expressions; ``expression``, ``subject`` and ``video`` are read where they exist. Images lie relative
    to the root, or to ``train/``, ``val/`` and ``test/`` in it. Without a ``test_list.csv`` or ``test.csv``
    the validation images are also the test images, although the best epoch was chosen on them; `describe` says so.

    Args:
        root: Folder of the lists.
        protocol: See `protocols`; the splits are the lists' own.
        scale: Half the width of the labels' scale: 1 for labels in [-1, 1], 10 for [-10, 10], 4 for 1 to 9.
        centre: Its neutral value, 5 for 1 to 9: a label is (value - centre) / scale.
        codes: Whose numbers the column ``expression`` holds, where it does not hold names; see `to_codes`.
        options: See `FileDataModule`.
    """

    protocols: ClassVar[Mapping[str, Protocol]] = {
        "csv": Protocol("the lists' own splits"),
        "csv_8": Protocol("the lists' own splits; 8 expressions"),
        "csv_7": Protocol("the lists' own splits; 7 expressions, without Contempt"),
    }

    def __init__(
        self,
        root: str | None,
        protocol: Literal["csv", "csv_8", "csv_7"] = "csv",
        scale: Annotated[float, Field(gt=0)] = 1.0,
        centre: float = 0.0,
        codes: Codes = "affectnet",
        **options: Unpack[FileOptions],
    ) -> None:
        super().__init__(root, protocol, **options)
        self.scale = scale
        self.centre = centre
        self.codes = codes
        if protocol != "csv":
            self.task = "expression"
            self.classes = 8 if protocol == "csv_8" else 7

    def annotations(self) -> list[Path]:
        """The lists that exist, training first."""
        if not self.root.is_dir():
            raise self.missing("training_list.csv and validation_list.csv")
        return list(self.lists().values())

    def settings(self) -> dict[str, Any]:
        """`scale`, `centre` and `codes`."""
        return {"scale": self.scale, "centre": self.centre, "codes": self.codes}

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
        return Reading(FaceIndex.build(pd.concat(tables, ignore_index=True), self.protocol), problems)

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
        keys = {name.strip().lower() for name in read_header(path)}
        columns = {name: names for name, names in _EXTRA.items() if keys.intersection(names)}
        if self.task == "expression":
            columns |= {"path": COLUMNS["path"], "expression": _EXPRESSION}
        elif "expression" in columns and not keys.intersection(LABELS):
            raise AvceError(
                f"{path} has expressions and neither valence nor arousal. Set dataset.protocol=csv_7 or csv_8 to train "
                "on expressions."
            )
        else:
            columns |= COLUMNS
        table = Table(self.root, path, columns)
        images = table.paths()
        labels: dict[str, Any] = {name: table.rows.get(name, "") for name in ("subject", "video")}
        labels["expression"] = -1
        if "expression" in columns:
            labels["expression"] = to_codes(table.rows["expression"], self.codes)
        if self.task == "expression":
            wrong = ~pd.Series(labels["expression"]).between(0, self.classes - 1)
            text = (
                f"is not one of the {self.classes} expressions, by name or by {self.codes}'s number: "
                f"{enumerate_names(EXPRESSION_NAMES[: self.classes])}."
            )
            table.refuse(wrong, "bad_label", "expression", text)
            labels |= dict.fromkeys(LABELS, np.nan)
        for column in LABELS if self.task == "valence_arousal" else ():
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
