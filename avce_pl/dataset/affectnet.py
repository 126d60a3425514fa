"""AffectNet: the releases of 2017 (CSV lists) and 2021 (npy files), and two lists derived from the latter."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal, Unpack

from avce_pl.dataset.affectnet_releases.arrays_2021 import Arrays2021
from avce_pl.dataset.affectnet_releases.base import LAST_EXPRESSION, Release
from avce_pl.dataset.affectnet_releases.lists_2017 import Lists2017
from avce_pl.dataset.affectnet_releases.lists_2021 import Lists2021, Repartitioned
from avce_pl.dataset.core.split_protocol import Finding, Protocol
from avce_pl.dataset.files.datamodule import FileDataModule, FileOptions
from avce_pl.dataset.files.folders import folders
from avce_pl.dataset.files.reading import Reading
from avce_pl.errors import AvceError

_TRAIN = (74_874, 134_415, 25_459, 14_090, 6_378, 3_803, 24_882, 3_750, 33_088)
_WANTED = (
    "training.csv and validation.csv (release of 2017), or train_set/annotations and val_set/annotations "
    "(release of 2021)"
)
RELEASES: tuple[type[Release], ...] = (Lists2017, Arrays2021, Lists2021, Repartitioned)


def _protocol(description: str, classes: int) -> Protocol:
    counts = {"train": _TRAIN[:classes], "val": (500,) * classes}
    return Protocol(description, {split: sum(count) for split, count in counts.items()}, counts)


class AffectNetDataModule(FileDataModule):
    """AffectNet in any of its releases, however deep the archives are nested.

    The release of 2017: ``Manually_Annotated_file_lists/training.csv`` and ``validation.csv``, the latter with or
    without the names of its columns, and photos of which the lists give the face's box. That of 2021: ``train_set``
    and ``val_set`` with ``images`` and ``annotations``. Instead of the latter's npy files there may be CAGE's
    ``train_set_annotation_without_lnd.csv`` and its like for val_set. The partition of Hu et al. (2024):
    ``images/train_set`` and ``annotations/VA/{train,valid,test}.csv``.

    Rows of the classes Uncertain and Non-Face, rows with valence or arousal outside [-1, 1] (-2 means none) and
    rows without a box are left out and counted. The automatically annotated images are not used. AffectNet has no
    test images: tests are on the validation images, which also chose the best epoch.

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
        "affectnet_va_repartitioned": Protocol("valence and arousal, a new split with test images by Hu et al. (2024)"),
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
            self.classes = LAST_EXPRESSION[self.protocol] + 1

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
    def _release(self) -> Release:
        if not self.root.is_dir():
            raise self.missing(_WANTED)
        found: list[Release] = []
        for folder in folders(self.root, ("train_set", "val_set", "images", "Automatically_Annotated")):
            found += [release(self.root, folder, files) for release in RELEASES if (files := release.find(folder))]
        if not found:
            raise self.missing(_WANTED)
        first, *others = found
        if others:
            raise AvceError(
                f"{self.root} holds {first.title} in {first.folder} and {others[0].title} in {others[0].folder}. "
                "Set root=FOLDER to one of them."
            )
        return first
