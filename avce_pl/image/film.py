"""Frames and times of a film as they decode, not as its header promises."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avce_pl.errors import AvceError


@dataclass(frozen=True)
class FilmHeader:
    """What a film says about itself.

    Attributes:
        frames: how many frames it has; ``None`` where it does not say, as streamed and Matroska films.
        rate: frames per second on average; 0 where it does not say.
    """

    frames: int | None
    rate: float


@dataclass(frozen=True)
class FilmFrame:
    """One frame.

    Attributes:
        time: seconds from the beginning of the film, by its own time stamps.
        image: (H, W, 3) uint8 RGB, turned upright; ``None`` for a frame that is damaged.
    """

    time: float
    image: NDArray[np.uint8] | None


def read_header(path: Path) -> FilmHeader:
    """Reads what a film promises; `read_film` says what is there.

    Raises:
        AvceError: the file is missing or not a film.
    """
    with _open(path) as container:
        stream = container.streams.video[0]
        return FilmHeader(stream.frames or None, float(stream.average_rate or 0))


def read_film(path: Path, start: int = 0) -> Iterator[FilmFrame]:
    """Reads every frame in the order of showing: number i is row i of frame-wise labels.

    Nothing is sought, skipped or resampled. Rotation, edit lists and variable rates are those of the file. Where frames
    cannot be decoded the rest of the film is read all the same, and each lost frame is a `FilmFrame` without an image;
    so are those that are missing at the end of an MP4 or AVI file that was cut short.

    Args:
        path: the film.
        start: the first frame to give; those before it are decoded, since seeking is not exact in all formats.

    Raises:
        AvceError: the file is missing or not a film, or not one frame can be decoded.
    """
    from av.video.reformatter import VideoReformatter

    reformatter = VideoReformatter()  # one for all frames: `VideoFrame.to_ndarray` sets one up for each
    for number, (time, frame) in enumerate(_decode(path)):
        if number >= start:
            yield FilmFrame(time, None if frame is None else _picture(frame, reformatter))


def _decode(path: Path) -> Iterator[tuple[float, Any]]:
    """Time and decoded frame, or ``None`` for a lost one, in the order of showing."""
    with _open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        unit = stream.time_base
        origin = float(container.start_time or 0) / 1e6
        step = 1 / float(stream.average_rate or 25)
        packets, decoded, last, damaged = 0, 0, -step, False
        pending: set[int] = set()  # time stamps of what was read and has not been shown
        for packet in container.demux(stream):
            packets += packet.size > 0
            if packet.pts is not None and packet.size and not packet.is_discard:
                pending.add(packet.pts)
            try:
                frames = packet.decode()
            except _errors():  # of this packet, or of one before it that another thread decodes
                damaged = True
                continue
            for frame in frames:
                time = last + step if frame.time is None else frame.time - origin
                if frame.pts is not None:
                    passed = {stamp for stamp in pending if stamp < frame.pts}
                    pending -= passed | {frame.pts}
                    if damaged:
                        yield from ((float(stamp * unit) - origin, None) for stamp in sorted(passed))
                yield time, frame
                decoded, last = decoded + 1, time
        if not decoded:
            raise AvceError(f"{path}: not one frame can be decoded. Is the file complete? Copy or download it again.")
        if damaged:
            yield from ((float(stamp * unit) - origin, None) for stamp in sorted(pending))
        exact = "mp4" in container.format.name or _is_cut(path)  # elsewhere the number is an estimate
        missing = stream.frames - packets if exact else 0
        yield from ((last + step * (number + 1), None) for number in range(missing))


def _is_cut(path: Path) -> bool:
    """Whether an AVI file is shorter than it says."""
    with path.open("rb") as file:
        start = file.read(8)
    return start[:4] == b"RIFF" and int.from_bytes(start[4:], "little") + 8 > path.stat().st_size


def _picture(frame: Any, reformatter: Any) -> NDArray[np.uint8]:
    image: NDArray[np.uint8] = reformatter.reformat(frame, format="rgb24").to_ndarray()
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def _errors() -> tuple[type[Exception], ...]:
    import av

    return (av.error.FFmpegError, ValueError)


@contextlib.contextmanager
def _open(path: Path) -> Iterator[Any]:
    import av  # 50 ms, and only films need it

    if not path.is_file():
        raise AvceError(f"{path} does not exist." if not path.exists() else f"{path} is not a file.")
    av.logging.set_level(av.logging.PANIC)  # what FFmpeg prints about broken films is said in sentences
    try:
        container = av.open(str(path), metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        raise AvceError(f"{path} cannot be opened as a film. Is it complete? Copy or download it again.") from error
    with container:
        if not container.streams.video:
            raise AvceError(f"{path} holds no pictures. Give a film, not a sound recording.")
        yield container
