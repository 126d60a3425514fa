"""What is behind a head and turns with it: neck, clothes, and the hair at the back."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from avce_pl.synthesis.appearance import Identity, mix, sample_identity
from avce_pl.synthesis.canvas import Array, Bytes, Frame, blend, fill, scaled, shade, soften, spline, strokes
from avce_pl.synthesis.hair import paint_back_hair, paint_tresses

HALF_WIDTH, TOP, BOTTOM = 1.55, -1.55, 1.85
DEPTH = -0.10
"""Depth of the plane everything here is painted on."""


@dataclass(frozen=True, eq=False)
class Bust:
    """Painted colour and opacity (h, w, 4) on its pixel grid."""

    frame: Frame
    paint: Bytes


def _neck(identity: Identity) -> Array:
    """Outline of neck and shoulders' skin."""
    wide = 0.62 * identity.half_width * (1.06 if identity.jaw > 2.15 else 0.94)
    half = np.array([(wide, 0.10), (wide, 0.70), (wide * 0.98, 1.02), (wide * 1.12, 1.24), (0.90, 1.42), (1.10, 1.52)])
    side = spline(half, 30)
    return np.concatenate([side, (side * (-1, 1))[::-1]])


def _collar(identity: Identity, kind: int) -> Array:
    """Upper edge of the clothes, left to right."""
    depth = (1.36, 1.62, 1.20)[kind]
    wide = (0.50, 0.42, 0.46)[kind]
    sharp = 0.55 if kind == 1 else 1.0
    half = np.array(
        [(wide, 1.22 if kind < 2 else 1.06), (0.55 * wide * sharp, 0.35 * 1.22 + 0.65 * depth), (0.0, depth)]
    )
    curve = spline(half, 16)
    return np.concatenate([curve * (-1, 1), curve[-2::-1]])


@lru_cache(maxsize=6)
def bust(seed: int, subject: int, ppu: float) -> Bust:
    """Neck, clothes and back hair of one person at ``ppu`` pixels per canonical unit."""
    identity = sample_identity(seed, subject)
    frame = Frame(ppu, -HALF_WIDTH, TOP, round(2 * HALF_WIDTH * ppu), round((BOTTOM - TOP) * ppu))
    rng = np.random.default_rng([seed, subject, 0, 4])
    colour, cover = paint_back_hair(identity, frame, rng)
    window = frame.window(np.array([(-HALF_WIDTH, 0.10), (HALF_WIDTH, BOTTOM)]), 0.0)
    low_colour, low_cover = frame.cut(colour, window), frame.cut(cover, window)
    _paint_neck(identity, window, low_colour, low_cover)
    _paint_clothes(identity, window, low_colour, low_cover, rng)
    paint_tresses(identity, window, rng, low_colour, low_cover)
    return Bust(frame, cv2.merge((colour, cover)))


def _paint_neck(identity: Identity, frame: Frame, colour: Bytes, cover: Bytes) -> None:
    """The neck, rounded off sideways, with its two cords and the hollow between the collar bones."""
    skin = frame.solid(scaled(identity.skin, 0.93))
    mask = frame.mask()
    cord = spline(np.array([(0.36, 0.55), (0.27, 0.95), (0.07, 1.34)]), 12)
    strokes(mask, frame, np.stack([cord, cord * (-1, 1)]), 90, 0.05)
    fill(mask, frame, np.array([(-0.05, 1.28), (0.05, 1.28), (0.0, 1.36)]), 160)
    shade(skin, soften(mask, 0.05 * frame.ppu), 0.30)
    x, _ = frame.axes
    lit = np.clip(255 * (1 - 0.42 * np.abs(x / 0.48) ** 3), 110, 255).astype(np.uint8)
    lit = np.repeat(lit[None], frame.height, axis=0)
    skin = cv2.multiply(skin, cv2.merge((lit, lit, lit)), scale=1 / 255)
    mask = frame.mask()
    fill(mask, frame, _neck(identity))
    blend(colour, skin, mask)
    np.maximum(cover, mask, out=cover)


def _paint_clothes(identity: Identity, frame: Frame, colour: Bytes, cover: Bytes, rng: np.random.Generator) -> None:
    """A top with a round, a pointed or a high collar."""
    edge = _collar(identity, int(rng.integers(3)))
    cloth = frame.mask()
    shoulder = spline(np.array([(0.52, 1.20), (0.80, 1.36), (1.15, 1.46), (1.42, 1.62), (1.55, 2.1)]), 16)
    fill(cloth, frame, np.concatenate([edge, shoulder, (shoulder * (-1, 1))[::-1]]))
    fabric, folds = frame.solid(scaled(identity.cloth, 0.86)), frame.mask()
    start = rng.uniform((-1.2, 1.35), (1.2, 1.6), (9, 2))
    fall = rng.uniform((-0.25, 0.2), (0.25, 0.5), (9, 1, 2))
    strokes(folds, frame, start[:, None] + np.linspace(0, 1, 5)[:, None] * fall, 150, 0.04)
    shade(fabric, soften(folds, 0.05 * frame.ppu), 0.4)
    shade(colour, soften(cloth, 0.03 * frame.ppu), 0.45)
    blend(colour, fabric, cloth)
    rim = frame.mask()
    strokes(rim, frame, edge, 200, 0.035)
    blend(colour, mix(identity.cloth, (12, 12, 16), 0.35), cv2.bitwise_and(rim, cloth))
    np.maximum(cover, cloth, out=cover)
