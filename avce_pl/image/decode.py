"""One rule for the pixels of a picture, whether it comes as bytes, as a Pillow image or as an array."""

import os
import re
from io import BytesIO
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

# What OpenCV would print about broken files is said in sentences.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

Pixels = NDArray[np.uint8]

_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # not within a scan: stuffing and restarts are left out
_FLAGS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH  # OpenCV alone would cut 16 bits down to the upper 8


def decode(data: NDArray[np.uint8]) -> Pixels | None:
    """An image file's bytes as (H, W, 3) uint8 RGB, turned as its EXIF data says; ``None`` if it cannot be decoded.

    See `to_rgb` for depths. OpenCV decodes, several times as fast as Pillow, which takes what OpenCV cannot read or
    reads in a way of its own: CMYK, and the orientation of TIFF files.
    """
    head = data[:4096].tobytes()
    if b"Adobe" in head or head.startswith((b"II*\0", b"MM\0*")):
        image = _with_pillow(data)
        return _with_opencv(data) if image is None else image
    image = _with_opencv(data)
    if image is None and not head.startswith((b"\x89PNG", b"\xff\xd8")):  # Pillow would read some that were cut
        image = _with_pillow(data)
    return image


def is_cut_jpeg(data: bytes) -> bool:
    """Whether a JPEG file ends within its picture. What may follow the picture, such as a phone's film, is ignored.

    Decoders fill what is missing with grey, and a file whose end was lost to zeros looks complete to them.
    """
    if not data.startswith(b"\xff\xd8"):
        return False
    place = 2
    while (found := _MARKER.search(data, place)) is not None:
        marker, place = found[0][1], found.end()
        if marker == 0xD9:
            return False
        if marker != 0x01:
            place += int.from_bytes(data[place : place + 2])  # a segment, or the head of a scan
    return True


def from_pillow(image: "PillowImage") -> Pixels:
    """A Pillow image as (H, W, 3) uint8 RGB, turned as its EXIF data says; see `to_rgb` for depths.

    Raises:
        ValueError: the values are out of range.
    """
    from PIL import ImageOps

    image.load()  # a TIFF is turned when it is loaded, and says so afterwards
    image = ImageOps.exif_transpose(image)
    if image.mode[0] in "IF":  # 16 or 32 bits, which Pillow's own conversion would clip to 8
        array = np.asarray(image)
        if image.mode == "I":
            array = array.astype(np.uint16 if array.size and array.max() > 255 else np.uint8, casting="unsafe")
        return to_rgb(array)
    return np.array(image.convert("RGB"))


def to_rgb(array: NDArray[Any]) -> Pixels:
    """Pixels of any depth as (H, W, 3) uint8 RGB.

    16 bits are scaled to 8, and so is float from [0, 1]. Grey becomes three equal channels; transparency is dropped.

    Args:
        array: (H, W) grey, or (H, W, C) with 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha) channels; bool,
            uint8, uint16 or float.

    Raises:
        ValueError: another shape or type, or a float outside [0, 1].
    """
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4) or not array.size:
        raise ValueError(f"a picture is (height, width) or (height, width, channels), not {array.shape}")
    array = array[..., :1] if array.shape[2] < 3 else array[..., :3]
    if array.dtype == np.uint16:
        array = ((array.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    elif array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    elif np.issubdtype(array.dtype, np.floating):
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise ValueError("a picture of floating-point numbers must lie within 0 and 1")
        array = np.rint(array * 255).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise ValueError(f"a picture is of uint8, uint16, bool or float, not {array.dtype}")
    return np.repeat(array, 3, 2) if array.shape[2] == 1 else np.ascontiguousarray(array)


def _with_opencv(data: NDArray[np.uint8]) -> Pixels | None:
    try:
        image = cv2.imdecode(data, _FLAGS)
        return None if image is None else to_rgb(image)
    except (cv2.error, ValueError):  # empty, absurd sizes, or floating-point numbers without a known range
        return None


def _with_pillow(data: NDArray[np.uint8]) -> Pixels | None:
    from PIL import Image

    try:
        with Image.open(BytesIO(data.tobytes())) as image:
            return from_pillow(image)
    except (OSError, ValueError, SyntaxError, MemoryError):  # what Pillow raises for files that it cannot read
        return None
