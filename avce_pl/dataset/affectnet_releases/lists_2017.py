"""The release of 2017: CSV lists and photos with boxes."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from avce_pl.dataset.affectnet_releases.base import Dropped, Release, read_labels
from avce_pl.dataset.core.index import BOX, FaceIndex
from avce_pl.dataset.core.split_protocol import Finding
from avce_pl.dataset.files.csv_table import Table
from avce_pl.dataset.files.folders import doubled, folders
from avce_pl.dataset.files.reading import Reading
from avce_pl.errors import AvceError

_ROWS_AT_A_TIME = 20_000  # of landmarks; their numbers are 136 short texts each on the way


class Lists2017(Release):
    """``training.csv`` and ``validation.csv``, the latter with or without the names of its columns."""

    title = "AffectNet's release of 2017"
    protocols = ("affectnet_va_4500", "affectnet_va_4000", "affectnet_8", "affectnet_7")
    columns: ClassVar = {
        "path": ("subdirectory_filepath",),
        **{box: (box.replace("box", "face"),) for box in BOX},
        "landmarks": ("facial_landmarks",),
        "expression": ("expression",),
        "valence": ("valence",),
        "arousal": ("arousal",),
    }
    order = tuple("subDirectory_filePath" if name == "path" else names[0] for name, names in columns.items())

    @staticmethod
    def find(folder: Path) -> dict[str, Path]:
        """Split -> its labels, if this folder holds the release."""
        files = {"train": folder / "training.csv", "val": folder / "validation.csv"}
        return files if all(path.is_file() for path in files.values()) else {}

    def read(self, protocol: str) -> Reading:
        """Reads the rows of a protocol."""
        tables, landmarks, dropped, problems = [], [], Dropped(), list[Finding]()
        for split, path in self.files.items():
            table = Table(self.root, path, self.columns, self.order)
            labels = read_labels(table)
            for box in BOX:
                labels[box] = table.integers(box)
            keep = dropped.keep(labels, protocol, table.sound, table.place)
            boxless = keep & ~((labels["box_width"] > 0) & (labels["box_height"] > 0)).to_numpy()
            keep &= dropped.drop(boxless, "without a box", table.place)
            table.keep(keep)
            points, paths = parse_landmarks(table), table.paths()
            labels = labels[keep].assign(path=(self._images(path, paths[table.sound]) + paths).array, split=split)
            problems += table.problems
            tables.append(labels[table.sound])
            landmarks.append(points[table.sound])
        index = FaceIndex.build(pd.concat(tables), protocol, dropped.counts, np.concatenate(landmarks))
        return Reading(index, problems, dropped.places)

    def findings(self) -> list[Finding]:
        """Doubled folders, and a list without the names of its columns."""
        found = []
        for path in self.files.values():
            table = Table(self.root, path, self.columns, self.order, most=100)
            if table.headerless:
                text = "The first line does not name the columns; they are taken in their usual order."
                found.append(Finding(False, "headerless", table.where, text))
            paths = table.paths()
            images = self._images(path, paths[table.sound])
            found += doubled(self.root, [path, *(self.root / images / name for name in paths[table.sound])])
        return list(dict.fromkeys(found))

    def _images(self, listed: Path, paths: "pd.Series[str]") -> str:
        """Prefix under which most of the first hundred images lie."""
        if paths.empty:
            return ""
        sample = paths.iloc[:100]
        places = [
            folder
            for folder in folders(self.root, ("Automatically_Annotated",))
            if any((folder / path).parent.is_dir() for path in sample)
        ]
        if not places:
            raise AvceError(
                f"{listed} names the image {sample.iloc[0]}, but no folder under {self.root} holds a folder "
                f"{Path(sample.iloc[0]).parent}. Unpack Manually_Annotated_Images there."
            )
        return self._under(max(places, key=lambda folder: sum((folder / path).is_file() for path in sample)))


def parse_landmarks(table: Table) -> NDArray[np.float32]:
    """(rows, 68, 2) from ``x;y;x;y...``, NaN for an empty cell; refuses what is something else."""
    parts = [np.empty((0, 136), np.float32)]
    for start in range(0, len(table.rows), _ROWS_AT_A_TIME):
        cells = table.rows["landmarks"].iloc[start : start + _ROWS_AT_A_TIME]
        try:
            points = _points(cells)
        except ValueError:
            wrong = np.array([not _are_points(cell) for cell in cells])
            points = _points(cells.mask(wrong, ""))
            every = np.zeros(len(table.rows), bool)
            every[start : start + len(cells)] = wrong
            table.refuse(every, "bad_landmarks", "landmarks", "is not 136 numbers, x and y of 68 points.")
        parts.append(points)
    return np.concatenate(parts).reshape(-1, 68, 2)


def _points(cells: "pd.Series[str]") -> NDArray[np.float32]:
    """(rows, 136) numbers, NaN for an empty cell. Raises ValueError if there is another cell than 136 numbers."""
    whole = cells.mask(cells == "", ";".join(["nan"] * 136))
    texts = pc.split_pattern(pa.array(whole, pa.string()), ";")
    if pc.any(pc.not_equal(pc.list_value_length(texts), 136)).as_py():
        raise ValueError
    numbers: NDArray[np.float32] = pc.cast(pc.list_flatten(texts), pa.float32()).to_numpy()
    return numbers.reshape(-1, 136)


def _are_points(cell: str) -> bool:
    try:
        return cell == "" or _points(pd.Series([cell])).size == 136
    except ValueError:
        return False
