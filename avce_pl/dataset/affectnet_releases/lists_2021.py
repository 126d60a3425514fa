"""Lists made of the release of 2021: those of CAGE, and the partition of Hu et al. (2024)."""

from pathlib import Path
from typing import ClassVar

import pandas as pd

from avce_pl.dataset.affectnet_releases.arrays_2021 import Arrays2021
from avce_pl.dataset.affectnet_releases.base import Dropped, Release, read_labels, set_folder
from avce_pl.dataset.core.index import FaceIndex
from avce_pl.dataset.core.split_protocol import Finding
from avce_pl.dataset.files.csv_table import Table
from avce_pl.dataset.files.folders import folders
from avce_pl.dataset.files.reading import Reading
from avce_pl.errors import AvceError


class Lists2021(Release):
    """The lists that CAGE made of the npy files, for those who have the images and no annotations."""

    title = "lists made of AffectNet's release of 2021"
    protocols = Arrays2021.protocols
    columns: ClassVar = {
        "path": ("number",),
        "expression": ("exp", "expression"),
        "valence": ("val", "valence"),
        "arousal": ("aro", "arousal"),
    }

    @staticmethod
    def find(folder: Path) -> dict[str, Path]:
        """Split -> its labels, if this folder holds the release."""
        files = {split: folder / f"{split}_set_annotation_without_lnd.csv" for split in ("train", "val")}
        return files if all(path.is_file() for path in files.values()) else {}

    def read(self, protocol: str) -> Reading:
        """Reads the rows of a protocol."""
        tables, dropped, problems = [], Dropped(), list[Finding]()
        for split, path in self.files.items():
            table = Table(self.root, path, self.columns)
            labels = read_labels(table)
            images = self._under(self._images(split)) + table.integers("path").astype(str).astype(object) + ".jpg"
            labels = labels.assign(path=images, split=split)
            tables.append(labels[dropped.keep(labels, protocol, table.sound, table.place)])
            problems += table.problems
        return Reading(FaceIndex.build(pd.concat(tables), protocol, dropped.counts), problems, dropped.places)

    def _images(self, split: str) -> Path:
        for folder in folders(self.root, ("train_set", "val_set", "images")):
            if (images := set_folder(folder, split) / "images").is_dir():
                return images
        raise AvceError(f"{self.files[split]} exists, but there is no folder {split}_set/images under {self.root}.")


class Repartitioned(Release):
    """The three lists of a partition that has test images."""

    title = "the partition of AffectNet by Hu et al. (2024)"
    protocols = ("affectnet_va_repartitioned",)
    columns: ClassVar = {"path": ("name",), "valence": ("valence",), "arousal": ("arousal",)}

    @staticmethod
    def find(folder: Path) -> dict[str, Path]:
        """Split -> its labels, if this folder holds the release."""
        names = {"train": "train", "val": "valid", "test": "test"}
        files = {split: folder / "annotations" / "VA" / f"{name}.csv" for split, name in names.items()}
        return files if all(path.is_file() for path in files.values()) else {}

    def read(self, protocol: str) -> Reading:
        """Reads the rows of a protocol."""
        tables, dropped, problems = [], Dropped(), list[Finding]()
        for split, path in self.files.items():
            table = Table(self.root, path, self.columns)
            labels = read_labels(table).assign(path=self._under(self.folder / "images") + table.paths(), split=split)
            tables.append(labels[dropped.keep(labels, protocol, table.sound, table.place)])
            problems += table.problems
        return Reading(FaceIndex.build(pd.concat(tables), protocol, dropped.counts), problems, dropped.places)
