"""Results that are built once and kept; a folder under its final name is complete."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from avce_pl.errors import AvceError

log = logging.getLogger(__name__)

_SIZES = "sizes.json"


def digest(*parts: Any) -> str:
    """Hash of JSON-able settings, for the name of a cache entry."""
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=10).hexdigest()


def cached(folder: Path, build: Callable[[Path], None]) -> Path:
    """The folder, built if it does not exist, or if files in it are missing or have changed in size.

    ``build`` fills a folder with another name, which is renamed when it is complete and on the disk, so a killed
    process or a power failure leaves no incomplete result behind. Of several processes one builds and the others wait;
    the operating system releases the lock when its owner ends.

    Raises:
        AvceError: nothing can be written there.
    """
    if _is_complete(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not _is_complete(folder):
                partial = folder.with_name(f"{folder.name}.partial")
                if folder.exists():
                    log.warning("%s is damaged and is built again", folder)
                for old in (folder, partial):
                    if old.exists():
                        shutil.rmtree(old)
                partial.mkdir()
                try:
                    build(partial)
                    _seal(partial)
                except BaseException:  # an interrupt too: a partial result is useless and may be large
                    shutil.rmtree(partial, ignore_errors=True)
                    raise
                partial.rename(folder)
    except OSError as error:
        raise AvceError(
            f"The cache {folder} could not be written ({error.strerror or error}). Make room, make the folder "
            "writable, or choose another place with dataset.cache_dir=FOLDER."
        ) from error
    return folder


def _seal(folder: Path) -> None:
    """Syncs the files of the folder to the disk, and records their sizes."""
    sizes = {}
    for file in sorted(folder.iterdir()):
        _sync(file)
        sizes[file.name] = file.stat().st_size
    (folder / _SIZES).write_text(json.dumps(sizes))
    _sync(folder / _SIZES)


def _sync(file: Path) -> None:
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())


def _is_complete(folder: Path) -> bool:
    try:
        sizes = json.loads((folder / _SIZES).read_text())
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def write_images(path: Path, images: Iterable[NDArray[np.uint8]], count: int, side: int) -> None:
    """Writes (side, side, 3) uint8 images one after the other into a (count, side, side, 3) .npy file.

    Plain writes, not a writable memory map: on a full disk a write is an error, a touched map a dead process.
    """
    shape = (count, side, side, 3)
    needed = int(np.prod(shape))
    if (free := shutil.disk_usage(path.parent).free) < needed:
        raise OSError(f"{needed / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free")
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for image in images:
            file.write(np.ascontiguousarray(image).data)


class ImageArray:
    """(n, side, side, 3) uint8 images in one .npy file, mapped into memory and shared by workers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._array: NDArray[np.uint8] = np.load(path, mmap_mode="r")

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, row: int) -> NDArray[np.uint8]:
        image: NDArray[np.uint8] = self._array[row]
        return image

    def __reduce__(self) -> tuple[type["ImageArray"], tuple[Path]]:
        return ImageArray, (self.path,)  # pickling the map itself would send all images to every worker
