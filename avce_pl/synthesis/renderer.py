"""From a `Face` to a picture with its landmarks and box."""

import math
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from avce_pl.synthesis import features, scene
from avce_pl.synthesis.bust import DEPTH, bust
from avce_pl.synthesis.canvas import Array, Bytes, Floats, blend, fill
from avce_pl.synthesis.expression import landmarks
from avce_pl.synthesis.face import Face, FaceStyle, sample_face
from avce_pl.synthesis.head import Head, head, outline
from avce_pl.synthesis.lighting import cast, illuminate
from avce_pl.synthesis.nuisance import Nuisance
from avce_pl.synthesis.wear import beard

WHOLE_HEAD = 2.33
"""Side of the picture in canonical units at crop 1."""

_ANCHOR = np.array([0.0, 0.09, 0.42])
"""The point of the head that comes to the middle of the picture."""


_NO_MAP = np.empty(0, np.float32)


class Rendered(NamedTuple):
    """A picture: ``image`` uint8 (size, size, 3) RGB, ``landmarks`` float32 (68, 2) px, ``box`` (x, y, w, h) px."""

    image: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    box: tuple[float, float, float, float]


class _Pose(NamedTuple):
    """Weak perspective: picture = linear @ (x, y) + along * depth(x, y) + offset, in pixels."""

    rotation: Array
    linear: Array
    along: Array
    offset: Array


def _pose(nuisance: Nuisance, scale: float, size: int) -> _Pose:
    """Turn, nod and tilt the head, then put the middle of the face into the middle of the picture."""
    cy, sy = math.cos(nuisance.yaw), math.sin(nuisance.yaw)
    cp, sp = math.cos(nuisance.pitch), math.sin(nuisance.pitch)
    cr, sr = math.cos(nuisance.roll), math.sin(nuisance.roll)
    turn_nod = ((cy, 0.0, sy), (-sp * sy, cp, sp * cy), (-cp * sy, -sp, cp * cy))
    (a, b, c), (d, e, f), last = turn_nod
    rotation = np.array(
        [(cr * a - sr * d, cr * b - sr * e, cr * c - sr * f), (sr * a + cr * d, sr * b + cr * e, sr * c + cr * f), last]
    )
    linear, along = scale * rotation[:2, :2], scale * rotation[:2, 2]
    offset = (size - 1) / 2 + size * np.array(nuisance.shift) - linear @ _ANCHOR[:2] - along * _ANCHOR[2]
    return _Pose(rotation, linear, along, offset)


def _depth_at(layers: Head, points: Array) -> Array:
    """Depth (n,) of canonical points, bilinear."""
    where = layers.relief.pixels(points).astype(np.float32).reshape(-1, 1, 2)
    depth: Floats = cv2.remap(layers.depth, where, _NO_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return depth[:, 0]


_CELL = 4
"""Pixels per cell of the grid the pose is solved on."""


@lru_cache(maxsize=8)
def _ticks(size: int) -> tuple[Floats, Floats]:
    """Picture coordinates x and y (n, n) of a grid that cv2.resize by `_CELL` turns into pixels -`_CELL`, ..."""
    ticks = (np.arange(size // _CELL + 3, dtype=np.float32) - 0.5) * _CELL - 0.5
    x, y = np.meshgrid(ticks, ticks)
    return x, y


def _even_span(coordinates: Floats, size: int) -> tuple[int, int]:
    """The part of 0 ... ``size`` (even) that holds the coordinates, between even numbers and never empty."""
    low = min(max(int(coordinates.min()) // 2 * 2, 0), size - 2)
    return low, min(max(int(coordinates.max()) // 2 * 2 + 4, low + 2), size)


def _inverse_map(layers: Head, pose: _Pose, size: int) -> tuple[Floats, tuple[int, int, int, int]]:
    """Where in the layers' frame the pixels of the picture come from, and which part of the frame that is.

    Solves picture = linear @ p + along * depth(p) + offset for p by fixed-point iteration, which converges as long
    as the relief is less steep than the pose is turned, on every fourth pixel.

    Returns:
        Frame coordinates (size, size, 2) from the left top of the part, and the part: left, top, right, bottom.
    """
    relief, frame = layers.relief, layers.frame
    (a, b), (c, d) = pose.linear.tolist()
    scale = relief.ppu / (a * d - b * c)
    a, b, c, d = d * scale, -b * scale, -c * scale, a * scale
    (px, py), (ox, oy) = pose.along.tolist(), pose.offset.tolist()
    px, py = a * px + b * py, c * px + d * py
    tick_x, tick_y = _ticks(size)
    flat_x = a * tick_x + (b * tick_y - (a * ox + b * oy + relief.x0 * relief.ppu))
    flat_y = c * tick_x + (d * tick_y - (c * ox + d * oy + relief.y0 * relief.ppu))
    x, y = flat_x - 0.45 * px, flat_y - 0.45 * py
    for _ in range(5):
        depth = cv2.remap(layers.depth, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        x, y = flat_x - px * depth, flat_y - py * depth
    zoom = frame.ppu / relief.ppu
    x, y = zoom * x + (relief.x0 - frame.x0) * frame.ppu, zoom * y + (relief.y0 - frame.y0) * frame.ppu
    left, right = _even_span(x, frame.width)
    top, bottom = _even_span(y, frame.height)
    where = cv2.merge((x - left, y - top))
    side = _CELL * len(where)
    fine = cv2.resize(where, (side, side), interpolation=cv2.INTER_LINEAR)
    return fine[_CELL : _CELL + size, _CELL : _CELL + size], (left, top, right, bottom)


def _paint_head(layers: Head, face: Face, points: Array, rotation: Array) -> tuple[Bytes, Bytes]:
    """The lit face in its own frame (h, w, 3) and its silhouette (h, w)."""
    identity, nuisance, frame = face.identity, face.nuisance, layers.frame
    canvas, cover = layers.skin.copy(), layers.cover.copy()
    fill(cover, frame, outline(identity, points[:17]))
    if layers.beard is not None:
        beard(canvas, cover, layers.beard, identity, frame, points)
    features.mouth(canvas, identity, frame, points, face.intensities)
    features.nostrils(canvas, identity, frame, points)
    features.eyes(canvas, identity, frame, points, face.intensities, nuisance)
    features.brows(canvas, identity, frame, points)
    # Hair and glasses are part of the skin layer already; lay them again over what was drawn since.
    top = int((points[17:27, 1].min() - 0.10 - frame.y0) * frame.ppu)
    bottom = frame.height if layers.beard is not None else int((points[36:48, 1].max() + 0.10 - frame.y0) * frame.ppu)
    rows = slice(max(top, 0), max(bottom, 1))
    kept = cv2.multiply(canvas[rows], layers.hair_keep[rows], scale=1 / 255)
    cv2.add(kept, layers.hair[rows], dst=canvas[rows])

    ink = features.wrinkles(identity, layers.relief, points, face.intensities)
    ink = cv2.multiply(ink, layers.clear, scale=1 / 255)
    light = illuminate(layers, points, face.intensities, ink, nuisance, rotation)
    return cast(canvas, light, nuisance), cover


_BEHIND = 0.5
"""Resolution of what is behind the head: a little out of focus, and cheaper."""

_CELLS = 24
"""Side of the light map of what is behind the head."""

_ACROSS = np.linspace(-1, 1, _CELLS, dtype=np.float32)[None]


def _paint_behind(face: Face, pose: _Pose, cover: Bytes, ppu: float) -> Bytes:
    """Background, neck, clothes and back hair, in the light and in the shadow of the head ``cover`` (size, size)."""
    nuisance, full = face.nuisance, len(cover)
    size = round(_BEHIND * full)
    image = scene.background(nuisance.background, size, nuisance.exposure)
    torso = bust(face.seed, face.subject, _BEHIND * ppu)
    frame, zoom = torso.frame, size / full
    (a, b), (c, d) = pose.linear.tolist()
    (px, py), (ox, oy) = pose.along.tolist(), pose.offset.tolist()
    k = zoom / frame.ppu
    x = (a * frame.x0 + b * frame.y0 + DEPTH * px + ox + 0.5) * zoom - 0.5
    y = (c * frame.x0 + d * frame.y0 + DEPTH * py + oy + 0.5) * zoom - 0.5
    warped = cv2.warpAffine(torso.paint, np.array([(a * k, b * k, x), (c * k, d * k, y)]), (size, size))

    side = math.sin(nuisance.light_azimuth)
    unit = _CELLS * math.hypot(b, d) / full
    below = np.array([(1.0, 0.0, -0.16 * unit * side), (0.0, 1.0, 0.20 * unit)])
    shadow = cv2.resize(cover, (_CELLS, _CELLS), interpolation=cv2.INTER_NEAREST)
    shadow = cv2.blur(cv2.blur(cv2.warpAffine(shadow, below, (_CELLS, _CELLS)), (3, 3)), (3, 3))
    light = nuisance.ambient * 0.96 + nuisance.key * (0.70 + 0.28 * side * _ACROSS)
    light = light - shadow * np.float32((0.18 + 0.42 * nuisance.key) / 255)
    lit = cast(cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB), light, nuisance)
    blend(image, lit, cv2.extractChannel(warped, 3))
    return cv2.resize(image, (full, full), interpolation=cv2.INTER_LINEAR)


def _inner(size: int) -> int:
    """Side at which a picture is painted: small ones are painted larger, so that no feature is lost."""
    return max(size, min(8 * round(0.2 * size), 176))


def render(face: Face, size: int) -> Rendered:
    """The picture of ``face``, ``size`` pixels wide and high.

    Landmarks and box are exact by construction: the face is drawn through the landmarks, and both go through the same
    pose. Landmarks of a face that sticks out of the picture lie outside it; the box ends at the edge.
    """
    inner = _inner(size)
    ppu = inner * face.crop / WHOLE_HEAD
    layers = head(face.seed, face.subject, ppu)
    points = landmarks(face.identity, face.intensities, face.asymmetry)
    pose = _pose(face.nuisance, ppu * face.nuisance.scale, inner)

    where, part = _inverse_map(layers, pose, inner)
    canvas, cover = _paint_head(layers.seen(*part), face, points, pose.rotation)
    canvas = cv2.cvtColor(canvas, cv2.COLOR_RGB2RGBA)
    cv2.insertChannel(cover, canvas, 3)
    warped = cv2.remap(canvas, where, _NO_MAP, cv2.INTER_LINEAR)
    cover = cv2.extractChannel(warped, 3)
    image = _paint_behind(face, pose, cover, ppu)
    blend(image, cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB), cover)
    if inner > size:
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
    if face.nuisance.occluder != "none":
        scene.occlude(image, face.nuisance, face.identity.skin)
    image = scene.camera(image, face.nuisance)

    px = points @ pose.linear.T + _depth_at(layers, points)[:, None] * pose.along + pose.offset
    px = (px + 0.5) * (size / inner) - 0.5
    xs, ys = px.T.tolist()
    left, top, right, bottom = min(xs), min(ys), max(xs), max(ys)
    top -= 0.22 * (bottom - top)  # the forehead has no landmarks
    left, top, right, bottom = (min(max(edge, 0.0), float(size)) for edge in (left, top, right, bottom))
    return Rendered(image, px.astype(np.float32), (left, top, right - left, bottom - top))


def draw(seed: int, subject: int, index: int, size: int, style: FaceStyle) -> tuple[Face, Rendered]:
    """`sample_face` and `render` in one call: what the data set uses."""
    face = sample_face(seed, subject, index, style)
    return face, render(face, size)
