"""The release of 2021: a file in numpy's format per image and label."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avce_pl.dataset.affectnet_releases.base import CODES, Dropped, Release, set_folder
from avce_pl.dataset.core.index import FaceIndex
from avce_pl.dataset.core.split_protocol import Finding
from avce_pl.dataset.files.folders import relative
from avce_pl.dataset.files.reading import Reading
from avce_pl.errors import AvceError
from avce_pl.utils.progress import track

_AT_A_TIME = 256


class Arrays2021(Release):
    """The npy files as the authors give them, with landmarks where every image has them."""

    title = "AffectNet's release of 2021"
    protocols = ("affectnet_va_4000", "affectnet_8", "affectnet_7")

    @staticmethod
    def find(folder: Path) -> dict[str, Path]:
        """Split -> its labels, if this folder holds the release."""
        files = {split: set_folder(folder, split) / "annotations" for split in ("train", "val")}
        return files if all(path.is_dir() for path in files.values()) else {}

    def read(self, protocol: str) -> Reading:
        """Reads the rows of a protocol."""
        tables, landmarks, dropped, problems = [], [], Dropped(), list[Finding]()
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
    if not np.isfinite(number) or (kind == "exp" and number not in CODES):
        raise ValueError
    return number
