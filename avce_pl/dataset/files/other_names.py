"""Image files under another name than the list's: composed or decomposed accents, another case, another ending."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pandas as pd

from avce_pl.dataset.core.split_protocol import Finding

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".avif", ".gif", ".jp2")
"""Endings of image files, in lower case."""

_DIFFERENCES = {
    "decomposed_name": "The accents of its name are encoded in another way, as on a Mac",
    "wrong_case": "Its name differs in upper and lower case",
    "other_ending": "It has another ending",
}
"""Kind of finding -> what differs."""


def other_names(root: Path, paths: "pd.Series[str]") -> dict[int, str]:
    """Finds missing files under names that differ only in the encoding of accents, in case or in the image ending.

    Args:
        root: Folder that the paths start from.
        paths: Paths of the missing files, by row.

    Returns:
        Row -> path of the only such file, for the rows that have one.
    """

    @cache
    def entries(folder: str) -> Mapping[str, list[str]]:
        """Key of a name -> the names in the folder, which includes the image's name without its ending."""
        found = defaultdict[str, list[str]](list)
        if (root / folder).is_dir():
            for name in os.listdir(root / folder):
                found[_key(name)].append(name)
                if (bare := _without_ending(name)) != name:
                    found[f"{_key(bare)}/"].append(name)  # no file is called so
        return found

    @cache
    def find_folder(folder: str) -> str | None:
        return folder if (root / folder).is_dir() else find(folder, is_image=False)

    def find(path: str, is_image: bool) -> str | None:
        folder, _, name = path.rpartition("/")
        real = find_folder(folder)
        if real is None:
            return None
        there = entries(real)
        names = there.get(_key(name)) or (there.get(f"{_key(_without_ending(name))}/") if is_image else None) or []
        return f"{real}/{names[0]}".lstrip("/") if len(names) == 1 else None

    found = {int(str(row)): find(path, is_image=True) for row, path in paths.items()}
    return {row: path for row, path in found.items() if path is not None}


def name_findings(names: Mapping[str, str]) -> list[Finding]:
    """A note for every file that was found under another name: listed path -> path of the file."""
    found = []
    for listed, there in names.items():
        kind = "other_ending"
        if _composed(listed) == _composed(there):
            kind = "decomposed_name"
        elif _key(listed) == _key(there):
            kind = "wrong_case"
        found.append(Finding(False, kind, listed, f"{_DIFFERENCES[kind]}: it is called {there}."))
    return found


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _key(name: str) -> str:
    return _composed(_composed(name).casefold())


def _without_ending(name: str) -> str:
    stem, ending = os.path.splitext(name)
    return stem if ending.lower() in IMAGE_SUFFIXES else name
