"""What the releases share: expressions, rows that a protocol leaves out, folders of the sets."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avce_pl.dataset.core.split_protocol import Finding
from avce_pl.dataset.files.csv_table import Table
from avce_pl.dataset.files.folders import doubled
from avce_pl.dataset.files.reading import Reading

CODES = range(11)
CONTEMPT, NONE, UNCERTAIN, NON_FACE = 7, 8, 9, 10
_PLACES = 6  # of rows left out, per reason and split

LAST_EXPRESSION = {
    "affectnet_va_4500": NONE,
    "affectnet_va_4000": CONTEMPT,
    "affectnet_8": CONTEMPT,
    "affectnet_7": CONTEMPT - 1,
    "affectnet_va_repartitioned": NON_FACE,
}
"""The last expression that belongs to a protocol."""


class Release(ABC):
    """One form of AffectNet's labels; `protocols` are those that it has rows for, the default first."""

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
        """The files or folders of labels."""
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


class Dropped:
    """The rows that a protocol leaves out: their number by reason, and where the first of them are."""

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
            ("uncertain", expression == UNCERTAIN),
            ("no face", expression == NON_FACE),
            ("class None", (expression == NONE) & (LAST_EXPRESSION[protocol] < NONE)),
            ("class Contempt", (expression == CONTEMPT) & (LAST_EXPRESSION[protocol] < CONTEMPT)),
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


def read_labels(table: Table) -> pd.DataFrame:
    """`expression`, where the table has it, `valence` and `arousal` as numbers."""
    labels = pd.DataFrame({name: table.numbers(name) for name in ("valence", "arousal")})
    if "expression" in table.rows:
        labels["expression"] = table.integers("expression")
        unknown = ~labels["expression"].isin(CODES)
        table.refuse(unknown, "label_out_of_range", "expression", "is not an expression; they are 0 to 10.")
    return labels


def set_folder(folder: Path, split: str) -> Path:
    """``train_set`` or ``val_set``, which may lie in a folder of its own name."""
    name = f"{split}_set"
    inner = folder / name / name
    return inner if inner.is_dir() else folder / name
