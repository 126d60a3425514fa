"""The one way in which a face is cut out: the same for preparation, training and prediction."""

import math
import sys
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_TIMES = 2


class Box(NamedTuple):
    """A face in a picture, in pixels; pixel (0, 0) covers x and y from 0 to 1. It may reach beyond the picture."""

    x: float
    y: float
    width: float
    height: float


def crop_face(image: NDArray[np.uint8], box: Box | None, side: int, margin: float) -> NDArray[np.uint8]:
    """Cuts out a square about a face and resizes it with antialiasing.

    The square is centred on the box; its edge is ``max(width, height) * (1 + margin)``, edge and corner rounded to
    whole pixels. What it covers outside the picture is black, as in dlib's face chips and InsightFace's aligned
    crops: a repeated edge looks like hair or background that was never there. Without a box it is the central
    square of the picture, whatever the margin.

    Args:
        image: (H, W, 3) uint8 RGB.
        box: The face; None if the picture is one.
        side: Edge of the result, in pixels.
        margin: Share by which the square exceeds the longer side of the box; 0 or more.

    Returns:
        (side, side, 3) uint8 RGB.

    Raises:
        ValueError: the box is nowhere in the picture, or absurd; see `misplaced`.
    """
    height, width = image.shape[:2]
    if box is None:
        edge = min(height, width)
        left, top = (width - edge) // 2, (height - edge) // 2
    else:
        if reason := misplaced(box, height, width):
            raise ValueError(f"{reason}: {box} in {width} x {height} pixels")
        edge = max(_nearest(max(box.width, box.height) * (1 + margin)), 1)
        left = _nearest(box.x + (box.width - edge) / 2)
        top = _nearest(box.y + (box.height - edge) / 2)
    inside = image[max(top, 0) : max(top + edge, 0), max(left, 0) : max(left + edge, 0)]
    if inside.shape[:2] != (edge, edge):
        square = np.zeros((edge, edge, 3), np.uint8)
        y, x = max(-top, 0), max(-left, 0)
        square[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    else:
        square = inside.copy() if edge == side else inside
    return square if edge == side else _resize(square, side)


def misplaced(box: Box, height: int, width: int) -> str:
    """What is wrong with a box in a picture of that size: "" when there is a face to cut out."""
    if not all(math.isfinite(value) for value in box) or min(box.width, box.height) <= 0:
        return "box without a size"
    if max(box.width, box.height) > _TIMES * max(height, width):  # of no use, and a crop could fill the memory
        return "box far larger than the image"
    across = min(box.x + box.width, width) - max(box.x, 0)
    down = min(box.y + box.height, height) - max(box.y, 0)
    return "" if min(across, down) > 0 else "box outside the image"


def _resize(square: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Resizes as Pillow's antialiased bilinear filter does, which the released code uses.

    torch does it several times faster than Pillow (OpenCV aliases, or takes three times as long with INTER_AREA)
    and differs by one grey level in about one value of a thousand; a program that predicts without torch need not
    load it for that.
    """
    if "torch" not in sys.modules:
        return np.array(Image.fromarray(square).resize((side, side), Image.Resampling.BILINEAR))
    import torch
    from torch.nn.functional import interpolate

    batch = torch.from_numpy(square)[None].permute(0, 3, 1, 2)  # channels last: the fast path
    batch = interpolate(batch, (side, side), mode="bilinear", antialias=True)
    resized: NDArray[np.uint8] = batch[0].permute(1, 2, 0).numpy()
    return resized


def _nearest(value: float) -> int:
    return math.floor(value + 0.5)
