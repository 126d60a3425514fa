"""RAF-DB with basic expressions: seven classes, no valence or arousal."""

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal, Unpack

import numpy as np
import pandas as pd

from avce_pl.dataset.core.expressions import NUMBERS
from avce_pl.dataset.core.index import OUTSIDE_ROOT, FaceIndex
from avce_pl.dataset.core.split_protocol import Finding, Protocol
from avce_pl.dataset.files.datamodule import FileDataModule, FileOptions
from avce_pl.dataset.files.folders import doubled, folders, relative
from avce_pl.dataset.files.reading import Reading
from avce_pl.dataset.files.text import read_lines
from avce_pl.errors import AvceError

CODES = NUMBERS["raf_db"]
"""RAF-DB's labels (1 surprise, 2 fear, 3 disgust, 4 happiness, 5 sadness, 6 anger, 7 neutral) -> AffectNet's codes."""

_LISTS = ("list_patition_label.txt", "list_partition_label.txt")  # the first is the real one's spelling
_TRAIN = (2524, 4772, 1982, 1290, 281, 717, 705)
_TEST = (680, 1185, 478, 329, 74, 160, 162)
_HELD_OUT = tuple(round(count / 10) for count in _TRAIN)
_REST = tuple(count - held for count, held in zip(_TRAIN, _HELD_OUT, strict=True))


class RafDbDataModule(FileDataModule):
    """RAF-DB's ``basic`` folder: ``EmoLabel/list_patition_label.txt`` and the images of ``Image/aligned``.

    Under ``raf_db_official`` the test images are also those of validation, as papers have it: the best epoch is
    chosen on the images that are reported on. ``raf_db_holdout`` validates on a tenth of every class of the training
    images, the same for every seed of a run, and tests on the test images.

    Args:
        root: Folder of the data set, or one that holds it.
        protocol: See `protocols`.
        options: See `FileDataModule`.
    """

    protocols: ClassVar[Mapping[str, Protocol]] = {
        "raf_db_official": Protocol(
            "7 expressions; validated and tested on the test images, as papers do",
            {"train": sum(_TRAIN), "val": sum(_TEST)},
            {"train": _TRAIN, "val": _TEST},
        ),
        "raf_db_holdout": Protocol(
            "7 expressions; validated on a tenth of the training images, tested on the test images",
            {"train": sum(_REST), "val": sum(_HELD_OUT), "test": sum(_TEST)},
            {"train": _REST, "val": _HELD_OUT, "test": _TEST},
        ),
    }
    request: ClassVar[str] = (
        "RAF-DB is given to researchers by its authors: http://www.whdeng.cn/RAF/model1.html says how to ask."
    )

    def __init__(
        self,
        root: str | None,
        protocol: Literal["raf_db_official", "raf_db_holdout"] = "raf_db_official",
        **options: Unpack[FileOptions],
    ) -> None:
        super().__init__(root, protocol, **options)
        self.task = "expression"

    def annotations(self) -> list[Path]:
        """The list of labels."""
        return [self._list]

    def read(self) -> Reading:
        """Reads the list, in its order."""
        images = self._images()
        rows: list[tuple[str, str, int]] = []
        problems: list[Finding] = []
        where = relative(self.root, self._list)
        for number, line in enumerate(read_lines(self._list), start=1):
            if not line:
                continue
            name, _, label = line.partition(" ")
            split = name.partition("_")[0]
            if split not in ("train", "test") or re.search(OUTSIDE_ROOT, name):
                text = f"Line {number}: {line!r} does not begin with an image such as train_00001.jpg."
                problems.append(Finding(True, "bad_path", where, text))
            elif not label.strip().isdecimal() or int(label) not in CODES:
                kind = "label_out_of_range" if label.strip().isdecimal() else "bad_label"
                text = f"Line {number}: {line!r} does not end with a label; they are 1 to 7."
                problems.append(Finding(True, kind, where, text))
            else:
                rows.append((f"{images}{name.rpartition('.')[0]}_aligned.jpg", split, CODES[int(label)]))
        if not rows and not problems:
            raise AvceError(f"{self._list} lists no images.")
        table = pd.DataFrame(rows, columns=["path", "split", "expression"]).assign(valence=np.nan, arousal=np.nan)
        if self.protocol == "raf_db_official":
            table["split"] = table["split"].replace("test", "val")
        else:
            table.loc[_held_out(table[table["split"] == "train"]), "split"] = "val"
        return Reading(FaceIndex.build(table, self.protocol), problems)

    def findings(self) -> list[Finding]:
        """Doubled folders."""
        return doubled(self.root, [self._list])

    @cached_property
    def _list(self) -> Path:
        if self.root.is_dir():
            for folder in folders(self.root, ("Image", "Annotation", "boundingbox")):
                for name in _LISTS:
                    if (folder / name).is_file():
                        return folder / name
        raise self.missing(f"EmoLabel/{_LISTS[0]}")

    def _images(self) -> str:
        """Prefix of the aligned images, beside or above the list."""
        for base in (self._list.parent, self._list.parent.parent):
            for name in ("Image/aligned", "aligned"):
                if base.is_relative_to(self.root) and (base / name).is_dir():
                    return f"{(base / name).relative_to(self.root).as_posix()}/"
        raise AvceError(
            f"{self._list} exists, but there is no folder Image/aligned beside EmoLabel. Unpack aligned.zip there."
        )


def _held_out(train: pd.DataFrame) -> list[int]:
    """A tenth of the rows of every class, whatever their order."""
    rng = np.random.default_rng(0)
    chosen: list[int] = []
    for _, rows in train.sort_values("path").groupby("expression"):
        chosen += rng.permutation(rows.index)[: round(len(rows) / 10)].tolist()
    return chosen
