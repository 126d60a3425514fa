"""Images, videos and cameras as one stream of frames, read ahead in a thread."""

import contextlib
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from avce_pl.errors import AvceError
from avce_pl.image.film import read_film, read_header
from avce_pl.inference.model import read_image
from avce_pl.utils.files import find_paths

IMAGES = (
    *(".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".avif", ".jp2"),
    *(".ppm", ".pgm", ".pbm"),
)
VIDEOS = (
    *(".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".ogv", ".ogg", ".flv", ".3gp"),
    *(".ts", ".mts", ".m2ts", ".vob"),
)
UNREADABLE = (".heic", ".heif", ".hif", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".psd", ".svg")
"""Endings of pictures that nothing here decodes."""

log = logging.getLogger(__name__)

_AHEAD = 16
"""Frames read ahead: as many as the network takes at a time, or decoding would wait for it."""


@dataclass(frozen=True)
class Source:
    """Where frames come from.

    Attributes:
        name: the path as it was given, or ``camera 0``.
        kind: what it is.
        frames: how many it says it has, for the time left; 1 for an image, ``None`` where it does not say.
        rate: frames per second on average; 0 for an image or where it does not say.
    """

    name: str
    kind: Literal["image", "video", "camera"]
    frames: int | None
    rate: float


@dataclass(frozen=True)
class Frame:
    """One picture.

    Attributes:
        source: position of its source in the list.
        number: counted from 0 in a video; ``None`` for an image.
        time: seconds from the beginning; ``None`` for an image.
        image: (H, W, 3) uint8 RGB; ``None`` where it could not be read.
    """

    source: int
    number: int | None
    time: float | None
    image: NDArray[np.uint8] | None


def find_sources(paths: Sequence[str]) -> list[Source]:
    """Images and videos at paths: files, folders (with all that is in them) and patterns such as ``faces/*.jpg``.

    Pictures in a folder that cannot be decoded here are counted in a warning.

    Raises:
        AvceError: something is not there or is neither an image nor a video by its ending.
    """
    files: dict[str, None] = {}
    for argument in paths:
        matches = find_paths(argument)
        if not matches:
            raise AvceError(f"There is no file, folder or match for {argument}.")
        for path in matches:
            files |= dict.fromkeys(_files_in(path) if path.is_dir() else [str(path)])
    return [_source(file) for file in files]


def _files_in(folder: Path) -> list[str]:
    there = [str(path) for path in sorted(folder.rglob("*")) if path.is_file()]
    found = [file for file in there if _ending(file) in IMAGES + VIDEOS]
    if left := Counter(ending for file in there if (ending := _ending(file)) in UNREADABLE):
        counts = " and ".join(f"{count:,} {ending}" for ending, count in sorted(left.items()))
        log.warning("%s: %s files cannot be read here. Convert them to JPEG or PNG first.", folder, counts)
    if not found:
        raise AvceError(f"The folder {folder} holds no images or videos ({', '.join(IMAGES + VIDEOS)}).")
    return found


def camera(number: int) -> Source:
    """A camera of this machine.

    Raises:
        AvceError: there is no such camera.
    """
    capture = _open(number)
    opened = capture.isOpened()
    capture.release()
    if not opened:
        raise AvceError(f"There is no camera {number}, or another program uses it. Cameras are counted from 0.")
    return Source(f"camera {number}", "camera", None, 0.0)


def read(sources: Sequence[Source], source: int = 0, frame: int = 0) -> Iterator[Frame]:
    """All frames of all sources in order, from a frame of a source on.

    A damaged image, a video that cannot be opened and each damaged frame of a video are a `Frame` without an image.
    """
    waiting: queue.Queue[Frame | BaseException | None] = queue.Queue(_AHEAD)
    stop = threading.Event()

    def put(item: Frame | BaseException | None) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                waiting.put(item, timeout=0.1)
                return

    def work() -> None:
        try:
            for position in range(source, len(sources)):
                for item in _frames(sources[position], position, frame if position == source else 0):
                    put(item)
                    if stop.is_set():
                        return
            put(None)
        except BaseException as error:  # handed to the reader
            put(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()


def _ending(file: str) -> str:
    return Path(file).suffix.lower()


def _source(file: str) -> Source:
    ending = _ending(file)
    if ending in IMAGES:
        return Source(file, "image", 1, 0.0)
    if ending not in VIDEOS:
        raise AvceError(f"{file} is neither an image nor a video by its ending ({', '.join(IMAGES + VIDEOS)}).")
    try:
        header = read_header(Path(file))
    except AvceError:  # it has a row that says so
        return Source(file, "video", None, 0.0)
    return Source(file, "video", header.frames, header.rate if 0 < header.rate < 1000 else 0.0)


def _frames(source: Source, position: int, start: int) -> Iterator[Frame]:
    match source.kind:
        case "image":
            if start == 0:
                try:
                    yield Frame(position, None, None, read_image(source.name))
                except AvceError:
                    yield Frame(position, None, None, None)
        case "video":
            try:
                for number, frame in enumerate(read_film(Path(source.name), start), start):
                    yield Frame(position, number, frame.time, frame.image)
            except AvceError:
                yield Frame(position, None, None, None)
        case "camera":
            yield from _camera_frames(source, position)


def _camera_frames(source: Source, position: int) -> Iterator[Frame]:
    capture = _open(int(source.name.removeprefix("camera ")))
    try:
        number, began = 0, time.monotonic()
        while capture.grab():
            decoded, image = capture.retrieve()
            picture = cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if decoded else None
            yield Frame(position, number, time.monotonic() - began, picture)  # type: ignore[arg-type]
            number += 1
        if number == 0:
            yield Frame(position, None, None, None)
    finally:
        capture.release()


def _open(number: int) -> cv2.VideoCapture:
    """Opens a camera; what OpenCV would print about a bad one is said by us."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        return cv2.VideoCapture(number)
    finally:
        cv2.utils.logging.setLogLevel(level)
