"""Drawing tools shared by everything that paints: frames, splines, blends, noise."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from avce_pl.synthesis.appearance import Colour

# OpenCV's stubs know no finer type than "some numeric array".
Bytes = NDArray[Any]
"""Picture or mask, uint8."""

Floats = NDArray[Any]
"""Map, float32."""

Array = NDArray[np.float64]

FINE = 75.0
"""Pixels per canonical unit from which details of a pixel or less are drawn: single lashes, teeth, reflections."""

SHIFT = 4
"""Fractional bits of the fixed-point coordinates OpenCV draws with."""


@dataclass(frozen=True)
class Frame:
    """A pixel grid laid over canonical space: pixel = (point - (x0, y0)) * ppu, pixel centres at whole numbers."""

    ppu: float
    x0: float
    y0: float
    width: int
    height: int

    @cached_property
    def _start(self) -> Array:
        return np.array([self.x0, self.y0])

    def pixels(self, points: Array) -> Array:
        """Pixel coordinates (..., 2) of canonical points (..., 2)."""
        return (points - self._start) * self.ppu

    def fixed(self, points: Array) -> NDArray[np.int32]:
        """Fixed-point pixel coordinates for OpenCV's drawing functions."""
        return ((points - self._start) * (self.ppu * (1 << SHIFT))).astype(np.int32)

    def window(self, points: Array, margin: float) -> "Frame":
        """The part of this frame, on the same pixel grid, around ``points`` (n, 2) with a canonical ``margin``.

        Points beyond the frame give a pixel of its edge, where drawing them changes nothing.
        """
        xs, ys = points.T.tolist()
        x = min(max(int((min(xs) - margin - self.x0) * self.ppu), 0), self.width - 1)
        y = min(max(int((min(ys) - margin - self.y0) * self.ppu), 0), self.height - 1)
        width = min(int((max(xs) + margin - self.x0) * self.ppu) + 2, self.width) - x
        height = min(int((max(ys) + margin - self.y0) * self.ppu) + 2, self.height) - y
        return Frame(self.ppu, self.x0 + x / self.ppu, self.y0 + y / self.ppu, max(width, 1), max(height, 1))

    def cut(self, image: Bytes, window: "Frame") -> Bytes:
        """The view of ``image``, drawn in this frame, that ``window`` covers."""
        left = round((window.x0 - self.x0) * self.ppu)
        top = round((window.y0 - self.y0) * self.ppu)
        return image[top : top + window.height, left : left + window.width]

    @cached_property
    def axes(self) -> tuple[Floats, Floats]:
        """Canonical x (width,) and y (height,) of the pixel centres."""
        x = self.x0 + np.arange(self.width) / self.ppu
        y = self.y0 + np.arange(self.height) / self.ppu
        return x.astype(np.float32), y.astype(np.float32)

    def mask(self) -> Bytes:
        """An empty mask of this frame's size."""
        return np.zeros((self.height, self.width), np.uint8)

    def solid(self, colour: Colour) -> Bytes:
        """A picture (h, w, 3) of one colour."""
        return solid(self.height, self.width, colour)

    def thickness(self, width: float) -> int:
        """Whole-pixel line thickness, at least 1, of a canonical width."""
        return max(1, round(width * self.ppu))


def solid(height: int, width: int, colour: Colour) -> Bytes:
    """A picture (height, width, 3) of one colour; OpenCV fills ten times faster than NumPy broadcasts."""
    image = np.empty((height, width, 3), np.uint8)
    cv2.rectangle(image, (0, 0), (width, height), colour, -1)
    return image


def fill(image: Bytes, frame: Frame, polygons: Array, colour: Colour | int = 255) -> None:
    """Fill one antialiased polygon (n, 2), or several (count, n, 2), of one colour."""
    shapes = [frame.fixed(polygons)] if polygons.ndim == 2 else list(frame.fixed(polygons))
    cv2.fillPoly(image, shapes, colour, cv2.LINE_AA, SHIFT)


def strokes(
    image: Bytes, frame: Frame, lines: Array, colour: Colour | int, width: float = 0.0, closed: bool = False
) -> None:
    """Draw one antialiased polyline (n, 2), or several (count, n, 2), of one canonical width and one colour."""
    paths = [frame.fixed(lines)] if lines.ndim == 2 else list(frame.fixed(lines))
    cv2.polylines(image, paths, closed, colour, frame.thickness(width), cv2.LINE_AA, SHIFT)


def discs(image: Bytes, frame: Frame, centres: Array, radius: float, colour: Colour | int) -> None:
    """Fill antialiased discs of one canonical radius about ``centres`` (n, 2)."""
    size = max(int(radius * frame.ppu * (1 << SHIFT)), 8)
    for centre in frame.fixed(centres).tolist():
        cv2.circle(image, centre, size, colour, -1, cv2.LINE_AA, SHIFT)


def blend(region: Bytes, paint: Bytes | Colour, mask: Bytes) -> None:
    """Lay a picture or one colour over ``region`` (h, w, 3) in place, with opacity ``mask`` (h, w)."""
    height, width = mask.shape
    source = solid(height, width, paint) if isinstance(paint, tuple) else paint
    opacity = cv2.merge((mask, mask, mask))
    kept = cv2.multiply(region, cv2.bitwise_not(opacity), scale=1 / 255)
    cv2.add(kept, cv2.multiply(opacity, source, scale=1 / 255), dst=region)


def shade(region: Bytes, mask: Bytes, strength: float) -> None:
    """Darken ``region`` (h, w, 3) in place by up to ``strength`` where ``mask`` (h, w) is full."""
    keep = cv2.convertScaleAbs(mask, alpha=-strength, beta=255.0)
    cv2.multiply(region, cv2.merge((keep, keep, keep)), dst=region, scale=1 / 255)


def soften(mask: Bytes, radius: float) -> Bytes:
    """Blur a mask by about ``radius`` pixels: box filters are several times cheaper than OpenCV's Gaussian."""
    if radius < 1:
        return cv2.GaussianBlur(mask, (3, 3), 0)
    size = (2 * round(0.75 * radius) + 1,) * 2
    return cv2.blur(cv2.blur(mask, size), size)


def scaled(colour: Colour, factor: float) -> Colour:
    """A colour times ``factor``, within 0-255."""
    return (min(colour[0] * factor, 255.0), min(colour[1] * factor, 255.0), min(colour[2] * factor, 255.0))


def bell(distance: Floats) -> Floats:
    """Gaussian of a distance in standard deviations, never so small that products of it are subnormal, thus slow."""
    heights: Floats = np.exp(np.maximum(-0.5 * distance * distance, -30))
    return heights


def spline_rows(parameter: Array, controls: int, closed: bool = False) -> Array:
    """Matrix (n, controls) that evaluates a Catmull-Rom spline at ``parameter`` (n,), in control point spacings."""
    k = np.minimum(parameter.astype(int), controls - 1 - (not closed))
    t = parameter - k
    square, cube = t**2, t**3
    weights = (-t + 2 * square - cube, 2 - 5 * square + 3 * cube, t + 4 * square - 3 * cube, cube - square)
    rows = np.arange(len(t))
    around = np.zeros((len(t), controls + 3))  # column j is for control point j - 1
    for j, weight in enumerate(weights):
        around[rows, k + j] = 0.5 * weight
    real = np.eye(controls)
    if closed:
        real = real[np.arange(-1, controls + 2) % controls]
    else:  # mirror the end points, so that the ends are not pulled in
        real = np.vstack([2 * real[0] - real[1], real, 2 * real[-1] - real[-2]])
    matrix: Array = around[:, : len(real)] @ real
    return matrix


@lru_cache(maxsize=64)
def _even_rows(controls: int, samples: int, closed: bool) -> Array:
    """Matrix (samples, controls) of an evenly sampled spline."""
    if closed:
        return spline_rows(np.arange(samples) * controls / samples, controls, closed)
    return spline_rows(np.linspace(0, controls - 1, samples), controls)


def spline(points: Array, samples: int, closed: bool = False) -> Array:
    """``samples`` points of the Catmull-Rom spline through ``points`` (n, 2) or (..., n, 2)."""
    return _even_rows(points.shape[-2], samples, closed) @ points


@lru_cache(maxsize=8)
def _grain_bank(kind: int) -> Bytes:
    """A square of noise, see `grain`."""
    pattern = np.random.default_rng([7919, kind]).standard_normal((512, 512), dtype=np.float32)
    return cv2.convertScaleAbs(pattern, alpha=32, beta=128)


def grain(kind: int, height: int, width: int) -> Bytes:
    """Noise (height, width) of mean 128 and standard deviation 32, always the same; ``kind`` picks which.

    It repeats after 512 pixels.
    """
    bank = _grain_bank(kind)
    if height <= 512 and width <= 512:
        return bank[:height, :width]
    return bank[np.ix_(np.arange(height) % 512, np.arange(width) % 512)]
