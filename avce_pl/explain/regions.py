"""Parts of a face from its 68 landmarks, and the share of a map that lies on each."""

import cv2
import numpy as np
from numpy.typing import NDArray

REGIONS = ("outside", "rest of the face", "nose", "mouth", "eyes", "brows")
"""The parts, which do not overlap; of two that would, the later one has the pixel."""

SIDE = 112
"""Pixels along the side of a region map."""

# Margins in distances between the eyes: parts are a little larger than the lines that bound them.
_MARGIN = 0.1
_BROW = 0.2  # the thickness of a brow, of which the landmarks give only the middle line
_FOREHEAD = 0.9  # how far the face reaches above the brows
_SHIFT = 4
_PARTS = {2: (range(27, 36),), 3: (range(48, 60),), 4: (range(36, 42), range(42, 48))}
_BROWS = (range(17, 22), range(22, 27))


def region_map(landmarks: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
    """The part of the face that each pixel belongs to.

    Args:
        landmarks: (68, 2) x and y in pixels of an image, in the usual order.
        size: Side of that image in pixels.

    Returns:
        (`SIDE`, `SIDE`) positions in `REGIONS`.
    """
    points = (landmarks.astype(np.float64) + 0.5) * (SIDE / size) - 0.5
    distance = float(np.linalg.norm(points[36:42].mean(axis=0) - points[42:48].mean(axis=0)))
    up = points[27] - points[8]
    up *= _FOREHEAD * distance / max(float(np.linalg.norm(up)), 1e-6)
    parts = np.zeros((SIDE, SIDE), np.uint8)
    hull = cv2.convexHull(_fixed(np.concatenate([points[:27], points[17:27] + up])))
    cv2.fillConvexPoly(parts, hull, 1, shift=_SHIFT)
    thick = max(1, round(2 * _MARGIN * distance))
    for code, outlines in _PARTS.items():
        for outline in outlines:
            hull = cv2.convexHull(_fixed(points[list(outline)]))
            cv2.fillConvexPoly(parts, hull, code, shift=_SHIFT)
            cv2.polylines(parts, [hull], True, code, thick, shift=_SHIFT)
    for brow in _BROWS:
        cv2.polylines(parts, [_fixed(points[list(brow)])], False, 5, max(1, round(_BROW * distance)), shift=_SHIFT)
    return parts


def shares(maps: NDArray[np.float32], parts: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How much of each map lies on each part of the face.

    Args:
        maps: (K, h, w), non-negative; they are stretched over the image.
        parts: from `region_map`.

    Returns:
        (K, len(`REGIONS`)) shares that sum to 1; NaN for a map of zeros.
    """
    found = np.full((len(maps), len(REGIONS)), np.nan)
    for position, cells in enumerate(maps):
        pixels = cv2.resize(cells, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
        if (total := float(pixels.sum(dtype=np.float64))) > 0:
            found[position] = np.bincount(parts.ravel(), pixels.ravel(), len(REGIONS)) / total
    return found


def areas(parts: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The shares of a uniform map: (len(`REGIONS`),)."""
    return np.bincount(parts.ravel(), minlength=len(REGIONS)) / parts.size


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    return np.round(points * (1 << _SHIFT)).astype(np.int32)
