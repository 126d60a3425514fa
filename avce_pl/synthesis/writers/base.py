"""What the writers share: the people of the splits, picture files, and faults that any layout can have."""

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from avce_pl.errors import AvceError
from avce_pl.utils.progress import track

PROCEDURAL = "PROCEDURAL.txt"
"""A file in the folder of a data set that is of procedural faces in the layout of a real one."""

FIRST_SUBJECT = {"train": 0, "val": 100_000, "test": 200_000}
"""People are numbered; these ranges keep those of the splits apart."""

IMAGES_PER_SUBJECT = 5
"""Pictures of each person in the layouts of still images."""


class Injected(NamedTuple):
    """One fault that a writer put in: its name, the file (relative to the data set) and what is wrong there."""

    kind: str
    path: str
    detail: str


class Layout(NamedTuple):
    """One layout that can be written.

    Attributes:
        write: ``write(folder, train, val, test, size, seed, style, faults) -> list[Injected]``.
        faults: Names of the faults it can put in, each with what it does.
        dataset: The option of the group ``dataset`` that reads it.
    """

    write: Callable[..., list[Injected]]
    faults: Mapping[str, str]
    dataset: str


IMAGE_FAULTS = {
    "missing_image": "a listed image is not there",
    "truncated_image": "an image file ends in the middle",
    "empty_image": "an image file holds no bytes",
    "duplicate_image": "an image file holds the same bytes as another",
    "wrong_case": "a file's name differs from the list's in upper and lower case",
    "other_ending": "an image file has another ending than in the list",
}
"""The faults that every layout with image files can have; `damage` puts them in."""


def pictures(split: str, count: int) -> Iterator[tuple[int, int, int]]:
    """The still images of a split, with a progress bar: number from 0, person, and which picture of the person."""
    for number in track(range(count), f"Drawing {split} images", count):
        yield number, FIRST_SUBJECT[split] + number // IMAGES_PER_SUBJECT, number % IMAGES_PER_SUBJECT


def save_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Writes (H, W, 3) uint8 RGB in the format that the suffix names, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # encoded first: OpenCV knows formats by lower-case suffixes only
    _, data = cv2.imencode(path.suffix.lower(), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    path.write_bytes(data.tobytes())


def damage(folder: Path, images: Iterator[str], faults: Collection[str]) -> list[Injected]:
    """Puts those of `IMAGE_FAULTS` that are in `faults` into images of a data set that is otherwise complete.

    Args:
        folder: The data set.
        images: Paths, relative to `folder`, of images that may be damaged; each fault takes the next, a duplicate
            the next two.
        faults: Names of faults; those of the layout itself are passed over.

    Raises:
        AvceError: there are fewer images than faults.
    """
    injected = []
    for kind in IMAGE_FAULTS:
        if kind not in faults:
            continue
        name = take(images)
        path = folder / name
        data = path.read_bytes()
        detail = IMAGE_FAULTS[kind]
        if kind == "missing_image":
            path.unlink()
        elif kind == "truncated_image":
            path.write_bytes(data[: len(data) // 2])
            detail = f"ends after {len(data) // 2} of {len(data)} bytes"
        elif kind == "empty_image":
            path.write_bytes(b"")
        elif kind == "duplicate_image":
            other = take(images)
            (folder / other).write_bytes(data)
            name, detail = other, f"the same bytes as {name}"
        else:
            other_name = path.name.swapcase() if kind == "wrong_case" else f"{path.stem}.webp"
            path = path.rename(path.with_name(other_name))
            detail = f"is called {path.name}"
        injected.append(Injected(kind, name, detail))
    return injected


def take(images: Iterator[str]) -> str:
    """The next image for a fault.

    Raises:
        AvceError: there is none left.
    """
    try:
        return next(images)
    except StopIteration:
        raise AvceError("There are not enough images for that many faults. Write more with --train NUMBER.") from None
