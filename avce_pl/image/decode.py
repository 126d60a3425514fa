"""Pictures out of files: the frames of a video one after the other, and still images."""

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from avce_pl.errors import AvceError

# What OpenCV and FFmpeg would print about broken files is said in sentences.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def read_video(path: Path) -> Iterator[NDArray[np.uint8]]:
    """The frames (H, W, 3) uint8 RGB, every one in the order of the file: number i is row i of frame-wise labels.

    Nothing is sought, skipped or resampled: seeking lands on other frames in many files, and a constant rate is not
    what phones record.

    Raises:
        AvceError: the file is missing or no video, or not one frame can be decoded.
    """
    capture = _open(path)
    try:
        number = 0
        while True:
            there, frame = capture.read()
            if not there:
                break
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)  # type: ignore[misc]
            number += 1
        if not number:
            raise AvceError(f"{path}: not one frame can be decoded. Is it a whole video file?")
    finally:
        capture.release()


def promised_frames(path: Path) -> int:
    """The number of frames by the file's header, which may be off by a few; 0 if it says nothing.

    Raises:
        AvceError: the file is missing or no video.
    """
    capture = _open(path)
    try:
        return max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
    finally:
        capture.release()


def _open(path: Path) -> cv2.VideoCapture:
    if not path.is_file():
        raise AvceError(f"{path} is not there." if not path.exists() else f"{path} is not a file.")
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise AvceError(f"{path} cannot be opened as a video. Is it whole? Copy or download it again.")
    return capture


def decode(data: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """An image file's bytes as (H, W, 3) uint8 RGB, turned as its EXIF data says; None if it is damaged or none."""
    try:
        image: NDArray[np.uint8] | None = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)  # type: ignore[assignment]
    except cv2.error:  # empty, or absurd sizes
        return None
    return image
