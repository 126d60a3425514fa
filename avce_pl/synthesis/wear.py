"""Beards, which move with the mouth, and glasses, which do not."""

import cv2
import numpy as np

from avce_pl.synthesis.appearance import Identity, mix
from avce_pl.synthesis.canvas import Array, Bytes, Frame, blend, fill, grain, scaled, soften, spline, strokes

_MIRROR = np.array([-1.0, 1.0])


def paint_beard(identity: Identity, frame: Frame) -> Bytes:
    """Texture (h, w, 3) that the beard is cut from: short, mostly upright strands."""
    height, width = frame.height, frame.width
    fine = cv2.resize(grain(5, height // 4 + 1, width), (width, height), interpolation=cv2.INTER_LINEAR)
    broad = cv2.resize(grain(6, height // 8 + 1, width // 4 + 1), (width, height), interpolation=cv2.INTER_LINEAR)
    level = np.maximum(cv2.addWeighted(fine, 0.62, broad, 0.44, -36), 30)
    colour = np.array(mix(identity.brow, identity.hair, 0.5)) * (0.86 / 100)
    ramp = np.minimum(np.arange(256)[:, None] * colour, 255).astype(np.uint8)
    return cv2.applyColorMap(level, ramp[:, None])


def _whiskers(identity: Identity, points: Array) -> Array:
    """Moustache between nose and upper lip, around the corners of the mouth."""
    base, lip, corner = points[33], points[51], points[54]
    top = base[1] + 0.45 * (lip[1] - base[1])
    half = np.array(
        [
            (0.0, top + 0.012),
            (0.10, top),
            (corner[0] * 0.86, 0.5 * (top + corner[1]) + 0.01),
            (corner[0] + 0.045, corner[1] + 0.055),
            (corner[0] + 0.010, corner[1] + 0.050),
            (corner[0] * 0.75, 0.4 * lip[1] + 0.6 * corner[1] - 0.004),
            (0.06, lip[1] - 0.002),
            (0.0, lip[1] + 0.012),
        ]
    )
    upper, lower = spline(half[:4], 16), spline(half[3:], 16)
    side = np.concatenate([upper, lower[1:]])
    return np.concatenate([side, (side * _MIRROR)[::-1]])


def beard(canvas: Bytes, alpha: Bytes, texture: Bytes, identity: Identity, frame: Frame, points: Array) -> None:
    """Lay the beard over the skin; a full one also widens the silhouette ``alpha`` (h, w)."""
    kind = identity.beard
    jaw, below = points[:17], points[57, 1]
    grown = 0.0 if kind == "stubble" else 0.045
    window = frame.window(np.concatenate([jaw, points[31:36]]), 0.10)
    mask = window.mask()
    if kind in ("full", "stubble"):
        outer = jaw[1:16] * (1 + 0.25 * grown, 1.0) + np.column_stack(
            [np.zeros(15), grown * np.clip(1 - 2.2 * np.abs(jaw[1:16, 0]), 0, 1) ** 0.5]
        )
        wide = identity.half_width
        cheek = np.array(
            [
                (wide - 0.045, 0.02),
                (wide - 0.11, 0.30),
                (0.36, 0.50),
                (0.17, points[33, 1] + 0.075),
                (0.0, points[33, 1] + 0.085),
            ]
        )
        line = spline(cheek, 24)
        fill(mask, window, np.concatenate([outer, line, (line * _MIRROR)[-2::-1]]))
    if kind in ("moustache", "goatee", "full"):
        fill(mask, window, _whiskers(identity, points))
    if kind == "goatee":
        corner, chin = points[54], points[8, 1]
        half = np.array(
            [
                (0.0, below + 0.035),
                (0.07, below + 0.045),
                (corner[0] * 0.92, corner[1] + 0.02),
                (corner[0] + 0.05, corner[1] + 0.03),
                (0.27, 0.5 * (below + chin)),
                (0.17, chin + 0.015),
                (0.0, chin + 0.05),
            ]
        )
        side = spline(half, 30)
        fill(mask, window, np.concatenate([side, (side * _MIRROR)[::-1]]))
    soft = soften(mask, 0.026 * frame.ppu)
    stubs = grain(3, window.height, window.width)
    if kind == "stubble":
        soft = cv2.multiply(soft, stubs, scale=0.26 / 128)
    else:
        # A ragged edge: where the soft mask is weak, only some hairs reach.
        soft = cv2.addWeighted(soft, 2.2, stubs, 2.4, -2.2 * 96 - 2.4 * 128)
        soft = cv2.min(cv2.blur(soft, (3, 3)), cv2.convertScaleAbs(soft, alpha=0.94))
    blend(frame.cut(canvas, window), frame.cut(texture, window), soft)
    if grown:
        reach = frame.cut(alpha, window)
        np.maximum(reach, soft, out=reach)


def _streaks(window: Frame, centre: Array, left: float, width: float, slant: float) -> Bytes:
    """The reflection of a window in both lenses."""
    pane = np.array([(left, -0.16), (left + width, -0.16), (left + width - slant, 0.16), (left - slant, 0.16)])
    mask = window.mask()
    fill(mask, window, np.stack([pane + centre, pane + centre * _MIRROR]))
    return mask


def paint_glasses(identity: Identity, frame: Frame, paint: Bytes, opacity: Bytes) -> None:
    """Lay glasses over ``paint`` (h, w, 3) and ``opacity`` (h, w), in place."""
    kind = identity.glasses
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    cos, sin = np.cos(t), np.sin(t)
    square = {"round": 1.0, "oval": 0.9, "square": 0.55, "sun": 0.75}[kind]
    rx, ry = {"round": (0.170, 0.158), "oval": (0.190, 0.122), "square": (0.190, 0.130), "sun": (0.200, 0.150)}[kind]
    shape = np.column_stack([rx * np.sign(cos) * np.abs(cos) ** square, ry * np.sign(sin) * np.abs(sin) ** square])
    if kind == "sun":
        shape[:, 0] *= 1 - 0.12 * shape[:, 1] / ry
    centre = np.array([identity.eye_spacing + 0.012, -0.055])
    lenses = np.stack([shape + centre, (shape + centre) * _MIRROR])
    window = frame.window(np.array([(-identity.half_width, -0.3), (identity.half_width, 0.2)]), 0.02)
    region, cover = frame.cut(paint, window), frame.cut(opacity, window)

    def lay(colour: tuple[float, float, float], mask: Bytes) -> None:
        """Put one layer on top, colour and opacity."""
        # Where nothing was painted before, the new colour must not mix with it.
        region[cover == 0] = colour
        blend(region, colour, mask)
        np.maximum(cover, mask, out=cover)

    glass = window.mask()
    fill(glass, window, lenses)
    if kind == "sun":
        lay((22, 22, 28), cv2.convertScaleAbs(glass, alpha=0.93))
        streak = _streaks(window, centre, -0.11, 0.09, 0.08)
        glare = cv2.convertScaleAbs(soften(streak, 0.02 * frame.ppu), alpha=0.35)
        blend(region, (150, 170, 190), cv2.bitwise_and(glare, glass))
    else:
        streak = _streaks(window, centre, 0.02, 0.05, 0.10)
        lay((255, 255, 255), cv2.bitwise_and(cv2.convertScaleAbs(streak, alpha=0.13), glass))
    frames = window.mask()
    width = {"round": 0.012, "oval": 0.014, "square": 0.028, "sun": 0.024}[kind]
    strokes(frames, window, lenses, 255, width, closed=True)
    inner, outer = centre[0] - rx, centre[0] + rx
    arch = spline(np.array([(-inner, -0.075), (0.0, -0.105), (inner, -0.075)]), 12)
    temple = np.array([(outer, -0.10), (identity.half_width + 0.01, -0.075)])
    strokes(frames, window, arch[None], 255, width)
    strokes(frames, window, np.stack([temple, temple * _MIRROR]), 255, width)
    lay(identity.frame if kind != "sun" else scaled(identity.frame, 0.6), frames)
