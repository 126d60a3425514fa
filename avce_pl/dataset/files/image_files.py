"""Image files of an index: examined once before training, then decoded whenever they are needed."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avce_pl.dataset.core.index import BOX
from avce_pl.dataset.core.split_protocol import Finding
from avce_pl.errors import AvceError
from avce_pl.image.crop import Box, crop_face, misplaced
from avce_pl.image.decode import decode, is_cut_jpeg
from avce_pl.utils.progress import track

_AT_A_TIME = 256
_NARROW = 64  # of 256 levels


def examine(path: Path, box: tuple[int, int, int, int] = (0, 0, 0, 0)) -> tuple[int, str]:
    """Examines one image file as training will read it.

    The whole image is decoded, by the decoder of the training: broken copies usually have an intact header.

    Args:
        path: The file.
        box: x, y, width and height of the face in pixels; all 0 where the image is the face.

    Returns:
        The file's size in bytes (-1 if it cannot be opened), and what is wrong with it: "" if it can be trained on.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return -1, "missing"
    except (OSError, ValueError):
        return -1, "cannot be opened"
    if not data:
        return 0, "empty"
    image = decode(np.frombuffer(data, np.uint8))
    if image is None or is_cut_jpeg(data):
        return len(data), "damaged or not an image"
    face = _face(box)
    return len(data), misplaced(face, *image.shape[:2]) if face else ""


def examine_all(root: Path, table: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
    """`examine` for every row of an index, in threads and with a progress bar: (N,) sizes and (N,) faults."""
    found: list[tuple[int, str]] = []
    starts = range(0, len(table), _AT_A_TIME)
    with ThreadPoolExecutor() as pool:
        for start in track(starts, "Checking images", len(starts)):
            part = table.iloc[start : start + _AT_A_TIME]
            paths = [root / path for path in part["path"]]
            found += pool.map(examine, paths, part[BOX].itertuples(index=False, name=None))
    sizes, faults = zip(*found, strict=True) if found else ((), ())
    return np.array(sizes, np.int64), np.array(faults, np.str_)


class ImageFiles:
    """The images of an index, read, cropped and resized at every access.

    An item is (side, side, 3) uint8 RGB whatever the file's size and mode, turned as its EXIF data says and cut out by
    `crop_face`.

    Args:
        root: Folder that the paths start from.
        table: The table of a `FaceIndex`.
        side: Edge of the crops in pixels.
        margin: See `crop_face`.
        checked: Folder of the index, which the error message says to delete.

    Raises:
        AvceError: on access, if a file is not what it was when it was checked.
    """

    def __init__(self, root: Path, table: pd.DataFrame, side: int, margin: float, checked: Path) -> None:
        self.root = root
        self.paths = table["path"].array
        self.sizes = table["bytes"].to_numpy(np.int64)
        self.boxes = table[BOX].to_numpy(np.int32)
        self.side = side
        self.margin = margin
        self.checked = checked

    def __len__(self) -> int:
        return len(self.paths)

    def state(self) -> str:
        """Hash of the times of the files' last changes, for the key of what is made of them."""
        hashed = hashlib.blake2b(digest_size=10)
        for path in self.paths:
            try:
                changed = os.stat(f"{self.root}/{path}").st_mtime_ns
            except OSError:
                changed = -1
            hashed.update(changed.to_bytes(8, "little", signed=True))
        return hashed.hexdigest()

    def __getitem__(self, row: int) -> NDArray[np.uint8]:
        path = self.root / self.paths[row]
        try:
            data = np.fromfile(path, np.uint8)
        except OSError:
            data = np.empty(0, np.uint8)
        image = decode(data) if data.size == self.sizes[row] else None
        if image is None:
            raise AvceError(
                f"{path} cannot be read or has changed since the images were checked. Repair it, delete "
                f"{self.checked} so that all images are checked again, and start again."
            )
        return crop_face(image, _face(self.boxes[row].tolist()), self.side, self.margin)


def narrow_pictures(files: ImageFiles, rows: Sequence[int]) -> list[Finding]:
    """A note if most of some pictures use less than a quarter of the range of brightness."""
    darkest, brightest = np.array([np.percentile(files[row], (1, 99)) for row in rows]).reshape(-1, 2).T
    narrow = int((brightest - darkest < _NARROW).sum())
    if narrow <= len(rows) / 2:
        return []
    text = (
        f"{narrow} of {len(rows)} pictures that were looked at use less than a quarter of the range of brightness; "
        "pictures of 12 bits in files of 16 look so. Write them again with their full range."
    )
    return [Finding(False, "narrow_range", "", text)]


def decode_all(files: ImageFiles) -> Iterator[NDArray[np.uint8]]:
    """All images in order, decoded in threads and with a progress bar."""
    starts = range(0, len(files), _AT_A_TIME)
    with ThreadPoolExecutor() as pool:
        for start in track(starts, "Decoding images", len(starts)):
            yield from pool.map(files.__getitem__, range(start, min(start + _AT_A_TIME, len(files))))


def _face(box: Sequence[int]) -> Box | None:
    return Box(*box) if box[2] else None
