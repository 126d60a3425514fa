"""What the writers of video data sets share: people in pictures wider than their face, and files of video."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from avce_pl.synthesis.face import FaceStyle
from avce_pl.synthesis.renderer import render
from avce_pl.synthesis.video import Video, sample_video
from avce_pl.synthesis.writers.base import Injected
from avce_pl.utils.progress import track

RATE = 10.0
"""Frames per second: few, so that feelings come and go within the few seconds of a small data set."""

_ZOOM = 0.72  # head and shoulders in a picture of 4:3

VIDEO_FAULTS = {
    "truncated_video": "a video file ends in the middle",
    "missing_video": "a video that has labels is not there",
    "no_face": "the owners' detector found no face in some frames",
    "label_rows": "a video has fewer rows of labels than frames",
    "nested": "folders are doubled, as unpacking leaves them: train/train",
    "label_out_of_range": "a valence of 70",
    "bad_label": "an arousal that is no number",
    "overlap": "a video is there twice",
}
"""The faults that several layouts of video can have."""


class Shot(NamedTuple):
    """One frame: ``image`` uint8 (H, W, 3) RGB, ``landmarks`` float32 (68, 2) px, ``box`` (x, y, w, h) px."""

    image: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    box: tuple[float, float, float, float]


def record(seed: int, subject: int, frames: int, style: FaceStyle) -> Video:
    """A video of one person, `RATE` frames per second, that shows head and shoulders whatever ``style.crop`` says."""
    return sample_video(seed, subject, frames, RATE, replace(style, crop=_ZOOM))


def plan(seed: int, videos: int, frames: int) -> Iterator[tuple[int, int]]:
    """Number from 0 and length, 3/4 to 5/4 of ``frames``, of that many videos, with a progress bar."""
    rng = np.random.default_rng([seed, videos])
    lengths = rng.integers(max(3 * frames // 4, 1), 5 * frames // 4 + 1, videos).tolist()
    return enumerate(track(lengths, "Filming", videos))


def shoot(video: Video, height: int, frames: Iterable[int] | None = None) -> Iterator[Shot]:
    """The frames of a video one by one, 4:3; height and width are even, as codecs want them."""
    height -= height % 2
    width = 2 * round(height * 2 / 3)
    top = (width - height) // 2
    for frame in range(len(video)) if frames is None else frames:
        image, landmarks, (x, y, w, h) = render(video.face(frame), width)
        up, down = (min(max(edge - top, 0.0), float(height)) for edge in (y, y + h))
        landmarks -= np.array([0, top], np.float32)
        yield Shot(image[top : top + height], landmarks, (x, up, w, down - up))


def side_by_side(left: Iterable[Shot], right: Iterable[Shot]) -> Iterator[tuple[NDArray[np.uint8], Shot, Shot]]:
    """Two people in one picture twice as wide; each one's shot has the landmarks and box in that picture."""
    for one, other in zip(left, right, strict=True):
        image = np.concatenate([one.image, other.image], axis=1)
        width = one.image.shape[1]
        x, *rest = other.box
        moved = other.landmarks + np.array([width, 0], np.float32)
        yield image, one._replace(image=image), Shot(image, moved, (x + width, *rest))


def save_video(path: Path, images: Iterable[NDArray[np.uint8]]) -> None:
    """Writes (H, W, 3) uint8 RGB images of one size, H and W even, as an .mp4 (MPEG-4) or .avi (Motion JPEG)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    codec = {".mp4": "mp4v", ".avi": "MJPG"}[path.suffix]
    writer = None
    for image in images:
        if writer is None:
            height, width = image.shape[:2]
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), RATE, (width, height))
            if not writer.isOpened():
                raise OSError(f"OpenCV cannot write {path}")
        writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if writer is not None:
        writer.release()


def truncate(folder: Path, video: Path) -> Injected:
    """Cuts a video file in the middle."""
    data = video.read_bytes()
    video.write_bytes(data[: len(data) // 2])
    detail = f"ends after {len(data) // 2} of {len(data)} bytes"
    return Injected("truncated_video", video.relative_to(folder).as_posix(), detail)
