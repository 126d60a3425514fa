"""Faces in a picture: what a detector is, and which of several faces a video is about."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from avce_pl.image.crop import Box

Image = NDArray[np.uint8]


class Detection(NamedTuple):
    """One face: its box in pixels, the detector's confidence (0 to 1, on its own scale) and the detector's name."""

    box: Box
    confidence: float
    detector: str


class Detector(Protocol):
    """A face detector."""

    name: str
    """Its own name, never "auto"."""
    version: str
    """What its results depend on apart from the picture: versions of libraries, digest of a model."""

    def __call__(self, image: Image) -> list[Detection]:
        """Finds the faces in (H, W, 3) uint8 RGB: the surest first; an empty list where there are none."""


def choose(detections: list[Detection], previous: Box | None = None) -> Detection | None:
    """The face that a video or a picture is about: the largest area x confidence x (1 + overlap with the last box).

    So two people of the same size are not confused from frame to frame, and a false detection is dropped as soon as a
    real face is found.

    Args:
        detections: The faces of one picture.
        previous: Box of the face chosen in the frame before; ``None`` for the first.
    """

    def weight(detection: Detection) -> float:
        box = detection.box
        together = 1 + (overlap(box, previous) if previous else 0.0)
        return box.width * box.height * max(detection.confidence, 1e-3) * together

    return max(detections, key=weight, default=None)


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    across = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    down = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    common = max(across, 0.0) * max(down, 0.0)
    return common / (a.width * a.height + b.width * b.height - common)


def surest_first(detections: Iterable[Detection]) -> list[Detection]:
    """Sorts by falling confidence."""
    return sorted(detections, key=lambda detection: -detection.confidence)
