"""Folders and files of data sets of videos, wherever they lie below the root."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from avce_pl.dataset.files.folders import listed

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")
HEAPS = re.compile(r"videos|bboxes|landmarks|cropped.*|batch\d.*|prepared|\..*|__macosx", re.IGNORECASE)
"""Folders of thousands of files, which are not searched for other parts of a data set."""
_SPLITS = ("train", "test", "val", "validation", "train_set", "validation_set", "test_set")


def named_folders(root: Path, pattern: str, depth: int = 6) -> list[Path]:
    """Folders in the root, or deeper, whose names match a pattern in any case; not those inside one another.

    Raises:
        AvceError: a folder cannot be read.
    """
    found: list[Path] = []
    level = [root] if root.is_dir() else []
    for _ in range(depth):
        below = []
        for entry in (entry for folder in level for entry in listed(folder) if entry.is_dir()):
            if re.fullmatch(pattern, entry.name, re.IGNORECASE):
                found.append(Path(entry.path))
            elif not HEAPS.fullmatch(entry.name):
                below.append(Path(entry.path))
        level = below
    return found


def contents(places: Iterable[Path]) -> Iterator[Path]:
    """The entries of some folders by name, without hidden ones such as macOS's ``._001.txt``.

    Folders doubled by unpacking, and those of the splits, are entered.
    """
    for place in places:
        for entry in (entry for entry in listed(place) if not entry.name.startswith(".")):
            if entry.is_dir() and entry.name.lower() in (place.name.lower(), *_SPLITS):
                yield from contents([Path(entry.path)])
            else:
                yield Path(entry.path)


def numbered(folder: Path, suffixes: Sequence[str]) -> dict[int, str]:
    """Files named by a number: number -> name."""
    names = [entry.name for entry in listed(folder)]
    parts = [(name, *os.path.splitext(name)) for name in names]
    return {int(stem): name for name, stem, suffix in parts if stem.isdecimal() and suffix.lower() in suffixes}
