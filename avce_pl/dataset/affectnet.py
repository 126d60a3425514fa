"""AffectNet: the releases of 2017 (CSV lists) and 2021 (npy files), and two lists derived from the latter."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Unpack

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from avce_pl.dataset.core.index import BOX, FaceIndex
from avce_pl.dataset.core.split_protocol import Finding, Protocol
from avce_pl.dataset.files.csv_table import Table
from avce_pl.dataset.files.datamodule import FileDataModule, FileOptions
from avce_pl.dataset.files.folders import doubled, folders, relative
from avce_pl.dataset.files.reading import Reading
from avce_pl.errors import AvceError
from avce_pl.utils.progress import track

_CODES = range(11)
_CONTEMPT, _NONE, _UNCERTAIN, _NON_FACE = 7, 8, 9, 10
_TRAIN = (74_874, 134_415, 25_459, 14_090, 6_378, 3_803, 24_882, 3_750, 33_088)
_AT_A_TIME = 256
_PLACES = 6  # of rows left out, per reason and split
_ROWS_AT_A_TIME = 20_000  # of landmarks; their numbers are 136 short texts each on the way


def _protocol(description: str, classes: int) -> Protocol:
    counts = {"train": _TRAIN[:classes], "val": (500,) * classes}
    return Protocol(description, {split: sum(count) for split, count in counts.items()}, counts)


_KEPT = {
    "affectnet_va_4500": _NONE,
    "affectnet_va_4000": _CONTEMPT,
    "affectnet_8": _CONTEMPT,
    "affectnet_7": _CONTEMPT - 1,
    "affectnet_va_repartitioned": _NON_FACE,
}
"""The last expression that belongs to a protocol."""


class AffectNetDataModule(FileDataModule):
    """AffectNet in whichever release the folder holds, packed and nested as it may be.

    The release of 2017: ``Manually_Annotated_file_lists/training.csv`` and ``validation.csv``, the latter with or
    without the names of its columns, and photos of which the lists give the face's box. That of 2021: ``train_set``
    and ``val_set`` with ``images`` and ``annotations``. Instead of the latter's npy files there may be CAGE's
    ``train_set_annotation_without_lnd.csv`` and its like for val_set. The partition of Hu et al. (2024):
    ``images/train_set`` and ``annotations/VA/{train,valid,test}.csv``.

    Rows of the classes Uncertain and Non-Face, rows with valence or arousal outside [-1, 1] (-2 stands for none) and
    rows without a box are left out and counted. The automatically annotated images are not used. AffectNet has no
    test images: tests are on the validation images, on which the best epoch was chosen too.

    Args:
        root: Folder of the data set, or one that holds it.
        protocol: See `protocols`; ``None`` takes all images with valence and arousal that the release has.
        options: See `FileDataModule`.
    """

    protocols: ClassVar[Mapping[str, Protocol]] = {
        "affectnet_va_4500": _protocol("valence and arousal, with the class None; release of 2017", 9),
        "affectnet_va_4000": _protocol("valence and arousal of the 8 expressions; 3,999 for validation in 2021", 8),
        "affectnet_8": _protocol("8 expressions; 3,999 for validation in 2021", 8),
        "affectnet_7": _protocol("7 expressions, without Contempt", 7),
        "affectnet_va_repartitioned": Protocol("valence and arousal, split anew with test images by Hu et al. (2024)"),
    }
    request: ClassVar[str] = (
        "AffectNet is given to researchers by its authors: http://mohammadmahoor.com/affectnet/ says how to ask."
    )

    def __init__(
        self,
        root: str | None,
        protocol: Literal[
            "affectnet_va_4500", "affectnet_va_4000", "affectnet_8", "affectnet_7", "affectnet_va_repartitioned"
        ]
        | None = None,
        **options: Unpack[FileOptions],
    ) -> None:
        super().__init__(root, protocol or "", **options)
        self.protocol = protocol or self._release.protocols[0]
        if self.protocol not in self._release.protocols:
            raise AvceError(
                f"{self.root} holds {self._release.title}, which cannot be read as {protocol}. "
                f"Choose dataset.protocol={' or '.join(self._release.protocols)}."
            )
        if "_va_" not in self.protocol:
            self.task = "expression"
            self.classes = _KEPT[self.protocol] + 1

    def annotations(self) -> list[Path]:
        """The lists; for the npy files their folders, so that a file changed in its place goes unnoticed."""
        return self._release.annotations

    def read(self) -> Reading:
        """Reads the labels of the protocol's rows, with boxes and landmarks where the release has them."""
        return self._release.read(self.protocol)

    def findings(self) -> list[Finding]:
        """Doubled folders, and lists without the names of their columns."""
        return self._release.findings()

    @cached_property
    def _release(self) -> "_Release":
        if not self.root.is_dir():
            raise self.missing(_WANTED)
        found: list[_Release] = []
        for folder in folders(self.root, ("train_set", "val_set", "images", "Automatically_Annotated")):
            found += [release(self.root, folder, files) for release in _RELEASES if (files := release.find(folder))]
        if not found:
            raise self.missing(_WANTED)
        first, *others = found
        if others:
            raise AvceError(
                f"{self.root} holds {first.title} in {first.folder} and {others[0].title} in {others[0].folder}. "
                "Set root=FOLDER to one of them."
            )
        return first


_WANTED = (
    "training.csv and validation.csv (release of 2017), or train_set/annotations and val_set/annotations "
    "(release of 2021)"
)


class _Release(ABC):
    """One way in which AffectNet's labels are kept; `protocols` are those it has rows for, the default first."""

    title: ClassVar[str]
    protocols: ClassVar[tuple[str, ...]]

    def __init__(self, root: Path, folder: Path, files: Mapping[str, Path]) -> None:
        self.root = root
        self.folder = folder
        self.files = files

    @staticmethod
    @abstractmethod
    def find(folder: Path) -> dict[str, Path]:
        """Split -> file or folder of labels, if this is the release's folder."""

    @property
    def annotations(self) -> list[Path]:
        return list(self.files.values())

    @abstractmethod
    def read(self, protocol: str) -> Reading:
        """Reads the rows of a protocol."""

    def findings(self) -> list[Finding]:
        """What is worth knowing about the layout."""
        return doubled(self.root, self.files.values())

    def _under(self, folder: Path) -> str:
        """The folder as a prefix of paths that are relative to the root."""
        prefix = folder.relative_to(self.root).as_posix()
        return "" if prefix == "." else f"{prefix}/"


class _Lists2017(_Release):
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
        files = {"train": folder / "training.csv", "val": folder / "validation.csv"}
        return files if all(path.is_file() for path in files.values()) else {}

    def read(self, protocol: str) -> Reading:
        tables, landmarks, dropped, problems = [], [], _Dropped(), list[Finding]()
        for split, path in self.files.items():
            table = Table(self.root, path, self.columns, self.order)
            labels = _labels(table)
            for box in BOX:
                labels[box] = table.integers(box)
            keep = dropped.keep(labels, protocol, table.sound, table.place)
            boxless = keep & ~((labels["box_width"] > 0) & (labels["box_height"] > 0)).to_numpy()
            keep &= dropped.drop(boxless, "without a box", table.place)
            table.keep(keep)
            points, paths = _parse_landmarks(table), table.paths()
            labels = labels[keep].assign(path=(self._images(path, paths[table.sound]) + paths).array, split=split)
            problems += table.problems
            tables.append(labels[table.sound])
            landmarks.append(points[table.sound])
        index = FaceIndex.build(pd.concat(tables), protocol, dropped.counts, np.concatenate(landmarks))
        return Reading(index, problems, dropped.places)

    def findings(self) -> list[Finding]:
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


class _Arrays2021(_Release):
    title = "AffectNet's release of 2021"
    protocols = ("affectnet_va_4000", "affectnet_8", "affectnet_7")

    @staticmethod
    def find(folder: Path) -> dict[str, Path]:
        files = {split: _set(folder, split) / "annotations" for split in ("train", "val")}
        return files if all(path.is_dir() for path in files.values()) else {}

    def read(self, protocol: str) -> Reading:
        tables, landmarks, dropped, problems = [], [], _Dropped(), list[Finding]()
        for split, folder in self.files.items():
            names, kinds, missing = _ids(self.root, folder)
            rows, broken = _load_all(self.root, folder, names, kinds, split)
            problems += missing + broken
            labels = pd.DataFrame(rows, columns=["path", *kinds.values()])
            files = relative(self.root, folder) + "/" + labels["path"] + "_*.npy"
            kept = dropped.keep(labels, protocol, np.ones(len(labels), bool), files.__getitem__)
            labels["path"] = self._under(folder.parent / "images") + labels["path"] + ".jpg"
            labels = labels[kept].assign(split=split)
            if "landmarks" in labels:
                landmarks.append(np.array(labels.pop("landmarks").tolist(), np.float32).reshape(-1, 68, 2))
            tables.append(labels)
        points = np.concatenate(landmarks) if len(landmarks) == len(self.files) else None
        return Reading(FaceIndex.build(pd.concat(tables), protocol, dropped.counts, points), problems, dropped.places)


class _Lists2021(_Release):
    """The lists that CAGE made of the npy files, for those who have the images and no annotations."""

    title = "lists made of AffectNet's release of 2021"
    protocols = _Arrays2021.protocols
    columns: ClassVar = {
        "path": ("number",),
        "expression": ("exp", "expression"),
        "valence": ("val", "valence"),
        "arousal": ("aro", "arousal"),
    }

    @staticmethod
    def find(folder: Path) -> dict[str, Path]:
        files = {split: folder / f"{split}_set_annotation_without_lnd.csv" for split in ("train", "val")}
        return files if all(path.is_file() for path in files.values()) else {}

    def read(self, protocol: str) -> Reading:
        tables, dropped, problems = [], _Dropped(), list[Finding]()
        for split, path in self.files.items():
            table = Table(self.root, path, self.columns)
            labels = _labels(table)
            images = self._under(self._images(split)) + table.integers("path").astype(str).astype(object) + ".jpg"
            labels = labels.assign(path=images, split=split)
            tables.append(labels[dropped.keep(labels, protocol, table.sound, table.place)])
            problems += table.problems
        return Reading(FaceIndex.build(pd.concat(tables), protocol, dropped.counts), problems, dropped.places)

    def _images(self, split: str) -> Path:
        for folder in folders(self.root, ("train_set", "val_set", "images")):
            if (images := _set(folder, split) / "images").is_dir():
                return images
        raise AvceError(f"{self.files[split]} is there, but no folder {split}_set/images under {self.root}.")


class _Repartitioned(_Release):
    title = "the partition of AffectNet by Hu et al. (2024)"
    protocols = ("affectnet_va_repartitioned",)
    columns: ClassVar = {"path": ("name",), "valence": ("valence",), "arousal": ("arousal",)}

    @staticmethod
    def find(folder: Path) -> dict[str, Path]:
        names = {"train": "train", "val": "valid", "test": "test"}
        files = {split: folder / "annotations" / "VA" / f"{name}.csv" for split, name in names.items()}
        return files if all(path.is_file() for path in files.values()) else {}

    def read(self, protocol: str) -> Reading:
        tables, dropped, problems = [], _Dropped(), list[Finding]()
        for split, path in self.files.items():
            table = Table(self.root, path, self.columns)
            labels = _labels(table).assign(path=self._under(self.folder / "images") + table.paths(), split=split)
            tables.append(labels[dropped.keep(labels, protocol, table.sound, table.place)])
            problems += table.problems
        return Reading(FaceIndex.build(pd.concat(tables), protocol, dropped.counts), problems, dropped.places)


_RELEASES: tuple[type[_Release], ...] = (_Lists2017, _Arrays2021, _Lists2021, _Repartitioned)


class _Dropped:
    """Which rows a protocol leaves out: how many for which reason, and where the first of them are."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.places: dict[str, str] = {}

    def keep(
        self, labels: pd.DataFrame, protocol: str, sound: NDArray[np.bool_], place: Callable[[int], str]
    ) -> NDArray[np.bool_]:
        """Whether each row is sound, belongs to the protocol and has valence and arousal."""
        plane = labels[["valence", "arousal"]].to_numpy(np.float64)
        expression = labels["expression"].to_numpy() if "expression" in labels else np.full(len(labels), -1)
        left = sound.copy()
        for reason, wrong in (
            ("uncertain", expression == _UNCERTAIN),
            ("no face", expression == _NON_FACE),
            ("class None", (expression == _NONE) & (_KEPT[protocol] < _NONE)),
            ("class Contempt", (expression == _CONTEMPT) & (_KEPT[protocol] < _CONTEMPT)),
            ("without valence and arousal (-2)", (plane == -2).any(axis=1)),
            ("valence or arousal outside [-1, 1]", (np.abs(plane) > 1).any(axis=1)),
        ):
            left &= self.drop(left & wrong, reason, place)
        return left

    def drop(self, wrong: NDArray[np.bool_], reason: str, place: Callable[[int], str]) -> NDArray[np.bool_]:
        """Counts the wrong rows; the others."""
        rows = np.flatnonzero(wrong).tolist()
        if rows:
            self.counts[reason] = self.counts.get(reason, 0) + len(rows)
            places = [self.places[reason]] if reason in self.places else []
            self.places[reason] = ", ".join([*places, *map(place, rows[:_PLACES])])
        return ~wrong


def _labels(table: Table) -> pd.DataFrame:
    """`expression`, where the table has it, `valence` and `arousal` as numbers."""
    labels = pd.DataFrame({name: table.numbers(name) for name in ("valence", "arousal")})
    if "expression" in table.rows:
        labels["expression"] = table.integers("expression")
        unknown = ~labels["expression"].isin(_CODES)
        table.refuse(unknown, "label_out_of_range", "expression", "is no expression; they are 0 to 10.")
    return labels


def _parse_landmarks(table: Table) -> NDArray[np.float32]:
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


def _set(folder: Path, split: str) -> Path:
    """``train_set`` or ``val_set``, which may lie in a folder of its own name."""
    name = f"{split}_set"
    inner = folder / name / name
    return inner if inner.is_dir() else folder / name


def _ids(root: Path, folder: Path) -> tuple[list[str], dict[str, str], list[Finding]]:
    """What there is in a folder of npy files.

    Returns:
        The images that have all labels, in numerical order; the kinds of files; and the files that are missing.
    """
    with os.scandir(folder) as entries:
        names = {entry.name for entry in entries if not entry.name.startswith(".")}  # macOS leaves ._0_exp.npy
    ids = sorted({name.rpartition("_")[0] for name in names if name.endswith(".npy")}, key=lambda n: (len(n), n))
    if not ids:
        raise AvceError(f"{folder} holds no labels such as 0_exp.npy. Unpack the annotations there.")
    kinds = {"exp": "expression", "val": "valence", "aro": "arousal"}
    missing = {name: [file for kind in kinds if (file := f"{name}_{kind}.npy") not in names] for name in ids}
    text = "It is not there: every image has <id>_exp.npy, <id>_val.npy and <id>_aro.npy."
    where = relative(root, folder)
    lost = [Finding(True, "missing_label", f"{where}/{file}", text) for files in missing.values() for file in files]
    ids = [name for name in ids if not missing[name]]
    if all(f"{name}_lnd.npy" in names for name in ids):
        kinds["lnd"] = "landmarks"
    return ids, kinds, lost


def _load_all(
    root: Path, folder: Path, ids: list[str], kinds: Mapping[str, str], split: str
) -> tuple[list[list[Any]], list[Finding]]:
    """Reads labels in threads: most of the time goes to the disk.

    Returns:
        A list per image, with its id and what its files hold; and the files that hold something else.
    """

    def load(name: str) -> list[Any] | Finding:
        values: list[Any] = [name]
        for kind in kinds:
            path = folder / f"{name}_{kind}.npy"
            try:
                values.append(_load(path, kind))
            except Exception:  # numpy's reader of headers raises whatever Python's tokenizer does
                wanted = {"exp": "an expression, 0 to 10", "lnd": "136 numbers"}.get(kind, "a number")
                return Finding(True, "bad_label", relative(root, path), f"It does not hold {wanted}.")
        return values

    starts = range(0, len(ids), _AT_A_TIME)
    with ThreadPoolExecutor() as pool:
        parts = pool.map(lambda start: [load(name) for name in ids[start : start + _AT_A_TIME]], starts)
        loaded = [one for part in track(parts, f"Reading {split} labels", len(starts)) for one in part]
    return [one for one in loaded if isinstance(one, list)], [one for one in loaded if isinstance(one, Finding)]


def _load(path: Path, kind: str) -> Any:
    """What one file holds: a number, which is a text in an array of one element in the real files, or landmarks."""
    array: NDArray[Any] = np.load(path, allow_pickle=False)
    if kind == "lnd":
        return array.astype(np.float32).reshape(136)
    number = float(array.item())
    if not np.isfinite(number) or (kind == "exp" and number not in _CODES):
        raise ValueError
    return number
