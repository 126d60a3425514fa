"""Folders of a data set: at any depth, as archives are unpacked."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from avce_pl.dataset.core.split_protocol import Finding
from avce_pl.errors import AvceError
from avce_pl.utils.text import enumerate_names


def folders(root: Path, leaves: Sequence[str] = (), depth: int = 5) -> Iterator[Path]:
    """The root and the folders in it, nearest first, as archives are unpacked at different depths.

    Args:
        root: Where to begin.
        leaves: Names of large folders that are skipped. Folders whose name is a number, hidden ones and those of
            macOS's archives are skipped too.
        depth: How many levels to search; 0 is the root alone.
    """
    level = [root]
    for _ in range(depth + 1):
        yield from level
        level = [path for folder in level for path in _subfolders(folder, leaves)]


def _subfolders(folder: Path, leaves: Sequence[str]) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
    except OSError:
        return []
    skipped = (*leaves, "__MACOSX")
    return [folder / name for name in names if not (name.isdigit() or name.startswith(".") or name in skipped)]


def listed(folder: Path) -> list["os.DirEntry[str]"]:
    """Entries of a folder by name.

    Raises:
        AvceError: it cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise AvceError(f"The folder {folder} cannot be read: {error.strerror}.") from None


def relative(root: Path, path: Path) -> str:
    """A path relative to the root, as findings name it."""
    return path.relative_to(root).as_posix()


def doubled(root: Path, files: Iterable[Path]) -> list[Finding]:
    """One finding for all folders inside a folder of the same name."""
    parts = {path.relative_to(root).parts[:-1] for path in files}
    places = {"/".join(p[: i + 2]) for p in parts for i in range(len(p) - 1) if p[i].lower() == p[i + 1].lower()}
    if not places:
        return []
    text = f"Folders inside one of the same name are read all the same: {enumerate_names(sorted(places))}."
    return [Finding(False, "nested", min(places), text)]
