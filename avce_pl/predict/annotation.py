"""Annotated copies: face boxes, the valence/arousal plane with each face's point and trail, and two curves."""

import functools
import os
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from avce_pl.errors import AvceError
from avce_pl.image.crop import Box
from avce_pl.predict.sources import Source

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]

_FACES: list[Colour] = [
    (251, 146, 60),
    (56, 189, 248),
    (74, 222, 128),
    (244, 114, 182),
    (167, 139, 250),
    (250, 204, 21),
]
_GROUND: Colour = (17, 24, 39)
_LINE: Colour = (55, 65, 81)
_FAINT: Colour = (156, 163, 175)
_WHITE: Colour = (243, 244, 246)

_NARROWEST, _WIDEST = 560, 1920
_WINDOW = 10.0  # seconds of the curves
_TRAIL = 2.0  # seconds of the trail
_GAP = 0.5  # seconds without the face that interrupt a curve
_SHIFT = 4  # bits of sub-pixel precision in OpenCV's drawing


@dataclass(frozen=True)
class Mark:
    """One face to draw.

    Attributes:
        box: in the picture.
        face: its number.
        valence: what is shown.
        arousal: what is shown.
    """

    box: Box
    face: int
    valence: float
    arousal: float

    @classmethod
    def of(cls, row: Mapping[str, Any], valence: str, arousal: str) -> Self:
        """The mark of a row of the table, whose numbers may be text."""
        box = Box(*(float(row[f"box_{side}"]) for side in Box._fields))
        return cls(box, int(row["face"]), float(row[valence]), float(row[arousal]))


def copies_of(sources: Sequence[Source], annotate: Path | None) -> list[Path | None]:
    """Where the annotated copy of every source goes: into a folder, or for a single source into a file.

    Raises:
        AvceError: a file is given for several sources, or a copy would overwrite its source.
    """
    if annotate is None:
        return [None] * len(sources)
    if annotate.suffix and not annotate.is_dir():
        if len(sources) > 1:
            raise AvceError(f"--annotate {annotate} is a file, but there are {len(sources)} sources. Give a folder.")
        copies = [annotate]
    else:
        folders = [os.path.dirname(os.path.abspath(source.name)) for source in sources]
        common = os.path.commonpath(folders)
        copies = [
            annotate / os.path.relpath(folder, common) / _name(source)
            for folder, source in zip(folders, sources, strict=True)
        ]
    for source, copy in zip(sources, copies, strict=True):
        if copy.exists() and source.kind != "camera" and copy.samefile(source.name):
            raise AvceError(f"--annotate would overwrite {source.name}. Give another folder.")
    return list(copies)


def _name(source: Source) -> str:
    if source.kind == "image":
        return Path(source.name).name
    return f"{Path(source.name).stem}.mp4"


class Annotator:
    """Draws and writes the annotated copy of one image, video or camera; a copy has its name when it is complete."""

    def __init__(self, path: Path, size: tuple[int, int], source: Source) -> None:
        """Lays the picture out.

        Args:
            path: the copy.
            size: height and width of the source's frames.
            source: what is copied.

        Raises:
            AvceError: the file cannot be written.
        """
        height, width = size
        self.moving = source.kind != "image"
        self.path = path
        self._part = path.with_name(f".{path.stem}.part{path.suffix}")
        scale = min(max(1.0, _NARROWEST / width), _WIDEST / width) if width else 1.0
        self.width, self.height = (round(side * scale / 2) * 2 for side in (width, height))
        self.scale = scale
        self.strip = max(200, min(round(0.36 * self.height), round(0.4 * self.width))) // 2 * 2
        self.font = max(12, self.strip // 16)
        self.history: dict[int, deque[tuple[float, float, float]]] = {}
        self._ground = self._panel()
        self._video: cv2.VideoWriter | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise AvceError(f"{path.parent} cannot be written: {error.strerror}. Give another --annotate.") from error
        if self.moving:
            rate, whole = source.rate or 25.0, (self.width, self.height + self.strip)
            self._video = cv2.VideoWriter(str(self._part), cv2.VideoWriter.fourcc(*"mp4v"), rate, whole)
            if not self._video.isOpened():
                raise AvceError(f"{path} cannot be written as a video. Give a name that ends in .mp4, or a folder.")

    def draw(self, image: Pixels, marks: Sequence[Mark], time: float | None) -> None:
        """Draws a frame (H, W, 3) RGB with its faces and writes it."""
        picture = self.compose(image, marks, time or 0.0)
        bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        if self._video is not None:
            self._video.write(bgr)
            return
        try:
            written, data = cv2.imencode(self.path.suffix, bgr)
            if written:
                self._part.write_bytes(data.tobytes())
        except (cv2.error, OSError):
            written = False
        if not written:
            raise AvceError(f"{self.path} cannot be written as a picture. Give a name that ends in .png or .jpg.")

    def compose(self, image: Pixels, marks: Sequence[Mark], time: float) -> Pixels:
        """The frame with its boxes above, the plane and the curves (or, for an image, the numbers) below."""
        if image.shape[:2] != (self.height, self.width):
            how = cv2.INTER_CUBIC if self.scale > 1 else cv2.INTER_AREA
            image = cv2.resize(image, (self.width, self.height), interpolation=how)  # type: ignore[assignment]
        canvas = np.concatenate([image, self._ground])
        for mark in marks:
            past = self.history.setdefault(mark.face, deque())
            past.append((time, mark.valence, mark.arousal))
        for face in list(self.history):
            while self.history[face] and self.history[face][0][0] < time - _WINDOW:
                self.history[face].popleft()
            if not self.history[face]:
                del self.history[face]
        for mark in marks:
            self._box(canvas, mark)
        self._points(canvas, marks, time)
        if self.moving:
            self._curves(canvas, time)
        else:
            self._numbers(canvas, marks)
        return canvas

    def close(self) -> None:
        """Gives the complete copy its name."""
        if self._video is not None:
            self._video.release()
        self._part.replace(self.path)

    def abandon(self) -> None:
        """Removes what there is of the copy."""
        if self._video is not None:
            self._video.release()
        self._part.unlink(missing_ok=True)

    @property
    def _plane(self) -> tuple[float, float, float]:
        """Centre and radius of the plane's circle, in the canvas."""
        half = self.strip / 2
        return half + self.font, self.height + half, half - 2.1 * self.font

    def _panel(self) -> Pixels:
        """The strip below the picture, without what moves."""
        panel = np.empty((self.strip, self.width, 3), np.uint8)
        panel[:] = _GROUND
        x, y, radius = self._plane
        y -= self.height
        centre = _fine(x, y)
        cv2.circle(panel, centre, _fine(radius)[0], (31, 41, 55), -1, cv2.LINE_AA, _SHIFT)
        cv2.circle(panel, centre, _fine(radius / 2)[0], _LINE, 1, cv2.LINE_AA, _SHIFT)
        cv2.circle(panel, centre, _fine(radius)[0], _FAINT, 1, cv2.LINE_AA, _SHIFT)
        cv2.line(panel, _fine(x - radius, y), _fine(x + radius, y), _LINE, 1, cv2.LINE_AA, _SHIFT)
        cv2.line(panel, _fine(x, y - radius), _fine(x, y + radius), _LINE, 1, cv2.LINE_AA, _SHIFT)
        small = self.font - 1
        _write(panel, "excited", x, y - radius - 0.4 * small, small, _FAINT, "mb")
        _write(panel, "calm", x, y + radius + 0.3 * small, small, _FAINT, "mt")
        _write(panel, "unpleasant", x - 0.95 * radius, y - 0.2 * small, small - 1, _FAINT, "lb")
        _write(panel, "pleasant", x + 0.95 * radius, y - 0.2 * small, small - 1, _FAINT, "rb")
        if self.moving:
            for name, (left, right, top, bottom) in self._axes().items():
                top, bottom = top - self.height, bottom - self.height
                cv2.rectangle(panel, _fine(left, top), _fine(right, bottom), (31, 41, 55), -1, cv2.LINE_AA, _SHIFT)
                middle = (top + bottom) / 2
                cv2.line(panel, _fine(left, middle), _fine(right, middle), _LINE, 1, cv2.LINE_AA, _SHIFT)
                for value, at in ((1, top), (0, middle), (-1, bottom)):
                    _write(panel, f"{value:+d}" if value else "0", left - 0.4 * small, at, small - 1, _FAINT, "rm")
                _write(panel, name, left + 0.6 * small, top + 0.4 * small, small, _FAINT, "lt")
        return panel

    def _axes(self) -> dict[str, tuple[float, float, float, float]]:
        """Left, right, top and bottom of the two curves' fields, in the canvas."""
        x, _, radius = self._plane
        left, right = x + radius + 3.2 * self.font, self.width - 5.0 * self.font
        top, half, gap = self.height + 0.9 * self.font, self.strip / 2, 0.8 * self.font
        return {
            "valence": (left, right, top, self.height + half - gap),
            "arousal": (left, right, self.height + half + gap, self.height + self.strip - 0.9 * self.font),
        }

    def _box(self, canvas: Pixels, mark: Mark) -> None:
        colour = _FACES[mark.face % len(_FACES)]
        left, top, width, height = (side * self.scale for side in mark.box)
        corner, thick = 0.22 * min(width, height), max(2, round(self.font / 7))
        for x, dx in ((left, corner), (left + width, -corner)):
            for y, dy in ((top, corner), (top + height, -corner)):
                points = np.array([_fine(x + dx, y), _fine(x, y), _fine(x, y + dy)])
                for ink, wide in (((0, 0, 0), thick + 2), (colour, thick)):
                    cv2.polylines(canvas[: self.height], [points], False, ink, wide, cv2.LINE_AA, _SHIFT)
        text = f"{mark.face}:  V {_signed(mark.valence)}   A {_signed(mark.arousal)}"
        room = top - 1.9 * self.font
        _label(
            canvas[: self.height], text, left, room if room > 0 else top + height + 0.3 * self.font, self.font, colour
        )

    def _points(self, canvas: Pixels, marks: Sequence[Mark], time: float) -> None:
        x, y, radius = self._plane

        def place(valence: float, arousal: float) -> Any:
            shrink = radius / max(1.0, float(np.hypot(valence, arousal)))
            return _fine(x + shrink * valence, y - shrink * arousal)

        for face, past in self.history.items():
            trail = [p for p in past if p[0] >= time - _TRAIL]
            for before, after in pairwise(trail):
                if after[0] - before[0] <= _GAP:
                    age = 1 - (time - after[0]) / _TRAIL
                    ink = _blend(_FACES[face % len(_FACES)], (31, 41, 55), 0.15 + 0.75 * age)
                    thick = 1 + round(age * self.font / 9)
                    cv2.line(canvas, place(*before[1:]), place(*after[1:]), ink, thick, cv2.LINE_AA, _SHIFT)
        for mark in marks:
            spot = place(mark.valence, mark.arousal)
            cv2.circle(canvas, spot, _fine(0.5 * self.font)[0], _WHITE, -1, cv2.LINE_AA, _SHIFT)
            ink = _FACES[mark.face % len(_FACES)]
            cv2.circle(canvas, spot, _fine(0.36 * self.font)[0], ink, -1, cv2.LINE_AA, _SHIFT)

    def _curves(self, canvas: Pixels, time: float) -> None:
        fields = self._axes()
        for axis, (left, right, top, bottom) in enumerate(fields.values(), start=1):
            value_ends: list[float] = []
            for face, past in self.history.items():
                ink = _FACES[face % len(_FACES)]
                stretch: list[tuple[int, int]] = []
                last = past[0][0]
                for point in [*past, None]:
                    if point is None or point[0] - last > _GAP:
                        if len(stretch) > 1:
                            cv2.polylines(canvas, [np.array(stretch)], False, ink, 2, cv2.LINE_AA, _SHIFT)
                        stretch = []
                    if point is not None:
                        last = point[0]
                        value = min(max(point[axis], -1.0), 1.0)
                        across = right - (time - point[0]) / _WINDOW * (right - left)
                        stretch.append(_fine(across, (top + bottom) / 2 - value * (bottom - top) / 2))
                if past[-1][0] == time:
                    value = min(max(past[-1][axis], -1.0), 1.0)
                    at = (top + bottom) / 2 - value * (bottom - top) / 2
                    cv2.circle(canvas, _fine(right, at), _fine(0.3 * self.font)[0], ink, -1, cv2.LINE_AA, _SHIFT)
                    if all(abs(at - other) >= self.font for other in value_ends):
                        value_ends.append(at)
                        _write(canvas, _signed(past[-1][axis]), right + 0.7 * self.font, at, self.font, ink, "lm")
        minutes, seconds = divmod(time, 60)
        _write(
            canvas,
            f"{int(minutes):d}:{seconds:04.1f}",
            self.width - 0.5 * self.font,
            self.height + self.strip / 2,
            self.font - 1,
            _FAINT,
            "rm",
        )

    def _numbers(self, canvas: Pixels, marks: Sequence[Mark]) -> None:
        x, _, radius = self._plane
        left, line = x + radius + 3.0 * self.font, 1.9 * self.font
        if not marks:
            _write(canvas, "no face found", left, self.height + self.strip / 2, self.font + 2, _FAINT, "lm")
        most = int((self.strip - self.font) / line)
        for row, mark in enumerate(marks[:most]):
            top = self.height + (self.strip - min(len(marks), most) * line) / 2 + (row + 0.5) * line
            if row == most - 1 and len(marks) > most:
                _write(canvas, f"and {len(marks) - row} more faces", left, top, self.font, _FAINT, "lm")
                break
            ink = _FACES[mark.face % len(_FACES)]
            cv2.circle(canvas, _fine(left, top), _fine(0.36 * self.font)[0], ink, -1, cv2.LINE_AA, _SHIFT)
            text = f"face {mark.face}    valence {_signed(mark.valence)}    arousal {_signed(mark.arousal)}"
            _write(canvas, text, left + self.font, top, self.font + 2, _WHITE, "lm")


def _fine(*values: float) -> Any:
    """Coordinates with OpenCV's sub-pixel bits."""
    return tuple(round(value * (1 << _SHIFT)) for value in values)


def _signed(value: float) -> str:
    return f"{value:+.2f}"


def _blend(colour: Colour, ground: Colour, share: float) -> Colour:
    red, green, blue = (round(share * c + (1 - share) * g) for c, g in zip(colour, ground, strict=True))
    return red, green, blue


@functools.lru_cache(maxsize=2048)
def _stencil(text: str, size: int) -> NDArray[np.float32]:
    """The text's coverage (h, w, 1), 0 to 1."""
    font = ImageFont.load_default(size)
    left, _, right, _ = font.getbbox(text)
    mask = Image.new("L", (round(right - left) + 2, round(1.5 * size)))
    ImageDraw.Draw(mask).text((1 - left, 0.1 * size), text, fill=255, font=font)
    return np.asarray(mask, np.float32)[:, :, None] / np.float32(255)


def _write(canvas: Pixels, text: str, x: float, y: float, size: int, colour: Colour, anchor: str) -> None:
    """Writes text; `anchor` is l, m or r, and t, m or b, as in Pillow."""
    mask = _stencil(text, size)
    height, width = mask.shape[:2]
    left = round(x - {"l": 0, "m": width / 2, "r": width}[anchor[0]])
    top = round(y - {"t": 0, "m": height / 2, "b": height}[anchor[1]])
    y0, x0 = max(top, 0), max(left, 0)
    region = canvas[y0 : max(top + height, 0), x0 : max(left + width, 0)]
    mask = mask[y0 - top :, x0 - left :][: region.shape[0], : region.shape[1]]
    region[:] = (region * (1 - mask) + np.array(colour, np.float32) * mask + 0.5).astype(np.uint8)


def _label(canvas: Pixels, text: str, x: float, y: float, size: int, colour: Colour) -> None:
    """A line of dark text on a ground of a face's colour."""
    height, width = _stencil(text, size).shape[:2]
    x = min(max(x, 0), max(0, canvas.shape[1] - width - size))
    y = min(max(y, 0), max(0, canvas.shape[0] - height - 2))
    cv2.rectangle(canvas, (round(x), round(y)), (round(x + width + 0.8 * size), round(y + height)), colour, -1)
    _write(canvas, text, x + 0.4 * size, y + height / 2, size, _GROUND, "lm")
