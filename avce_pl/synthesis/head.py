"""What does not move in one person's face: skin, relief, ears, hair. Painted once per person and resolution."""

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np

from avce_pl.synthesis.appearance import Identity, luminance, mix, sample_identity
from avce_pl.synthesis.canvas import (
    Array,
    Bytes,
    Floats,
    Frame,
    bell,
    blend,
    discs,
    fill,
    grain,
    scaled,
    shade,
    soften,
    spline,
    spline_rows,
    strokes,
)
from avce_pl.synthesis.expression import ACTION_UNITS, landmarks
from avce_pl.synthesis.hair import paint_hair
from avce_pl.synthesis.wear import paint_beard, paint_glasses

HALF_WIDTH, TOP, BOTTOM = 1.06, -1.40, 1.16
SHADING = 0.5
"""Resolution of the relief relative to the skin."""

JAW_DROP = 0.155


@dataclass(frozen=True, eq=False)
class Head:
    """The static layers of one head.

    Attributes:
        frame: Pixel grid of the painted layers.
        relief: Coarser pixel grid of the shading maps.
        skin: Painted skin, ears, hair and glasses (h, w, 3).
        cover: Opacity of ears and hair (h, w), the part of the silhouette that the jaw does not move.
        hair: Hair and glasses in front, premultiplied with its opacity (h, w, 3).
        hair_keep: 255 minus the hair's opacity, in three channels.
        clear: 255 where no hair hides the skin (relief grid).
        beard: Texture of the beard (h, w, 3), if there is one.
        slope: Derivatives (x, y) of the relief with the mouth closed.
        slope_drop: What the fully dropped jaw adds to ``slope``.
        openness: Ambient light that reaches each point, 0-1.
        gloss: How shiny each point is.
        depth: Depth used by the pose (relief grid).
    """

    frame: Frame
    relief: Frame
    skin: Bytes
    cover: Bytes
    hair: Bytes
    hair_keep: Bytes
    clear: Bytes
    beard: Bytes | None
    slope: tuple[Floats, Floats]
    slope_drop: tuple[Floats, Floats]
    openness: Floats
    gloss: Floats
    depth: Floats

    def seen(self, left: int, top: int, right: int, bottom: int) -> "Head":
        """The part between even pixel coordinates, without copying; ``depth`` stays whole."""
        frame, relief = self.frame, self.relief
        cut = np.s_[top:bottom, left:right]
        half = np.s_[top // 2 : bottom // 2, left // 2 : right // 2]

        def part(grid: Frame, where: tuple[slice, slice]) -> Frame:
            """The same grid, cut."""
            rows, columns = where
            x0, y0 = grid.x0 + columns.start / grid.ppu, grid.y0 + rows.start / grid.ppu
            return Frame(grid.ppu, x0, y0, columns.stop - columns.start, rows.stop - rows.start)

        return replace(
            self,
            frame=part(frame, cut),
            relief=part(relief, half),
            skin=self.skin[cut],
            cover=self.cover[cut],
            hair=self.hair[cut],
            hair_keep=self.hair_keep[cut],
            clear=self.clear[half],
            beard=None if self.beard is None else self.beard[cut],
            slope=(self.slope[0][half], self.slope[1][half]),
            slope_drop=(self.slope_drop[0][half], self.slope_drop[1][half]),
            openness=self.openness[half],
            gloss=self.gloss[half],
        )


def _bumps(x: Floats, y: Floats, rows: list[tuple[float, float, float, float, float]]) -> Floats:
    """Sum (h, w) of axis-parallel Gaussian bumps: x, y, spread x, spread y, height; x > 0 stands for both sides."""
    both = rows + [(-row[0], *row[1:]) for row in rows if row[0] > 0]
    bx, by, sx, sy, height = np.array(both, dtype=np.float32).T[..., None]
    across, down = bell((x - bx) / sx), height * bell((y - by) / sy)
    total: Floats = down.T @ across
    return total


def _dome(x: Floats, y: Floats, radius: tuple[float, float, float], height: float) -> Floats:
    """Half an ellipsoid with radii (sideways, up, down) that runs out flat at its rim."""
    up_down = np.where(y < -0.06, radius[1], radius[2])
    square = (x[None, :] / radius[0]) ** 2 + (((y + 0.06) / up_down) ** 2)[:, None]
    dome: Floats = height * np.sqrt(np.maximum(1 - square, 0.02))
    return dome.astype(np.float32)


def _nose(identity: Identity, x: Floats, y: Floats) -> Floats:
    """Relief of the nose: a ridge that runs into a ball, two wings, and the base they stand on."""
    base, height = identity.nose_length, 0.150 * identity.nose_height
    tip = base - 0.075
    along = np.clip((y + 0.17) / (tip + 0.17), 0, 1)
    fall = np.clip((y - tip + 0.03) / 0.15, 0, 1)
    profile = height * (0.10 + 0.80 * along**1.3) * (1 - fall**2 * (3 - 2 * fall))
    profile *= np.clip((y + 0.30) / 0.16, 0, 1) ** 2
    width = 0.040 + 0.022 * along
    ridge = profile[:, None] * np.exp(-0.5 * (x[None, :] / width[:, None]) ** 2)
    parts = [
        (0.0, tip, 0.052, 0.048, 0.36 * height),
        (0.76 * identity.nose_width, base - 0.042, 0.034, 0.040, 0.46 * height),
        (0.0, base - 0.03, 0.10, 0.075, 0.30 * height),
    ]
    return ridge.astype(np.float32) + _bumps(x, y, parts)


def _relief(identity: Identity, x: Floats, y: Floats) -> Floats:
    """Height of the face above the dome, without the nose."""
    spacing, cheek = identity.eye_spacing, identity.cheek
    parts = [
        (spacing - 0.03, -0.095, 0.15, 0.085, -0.075),  # eye sockets
        (spacing, -0.07, 0.095, 0.075, 0.034),  # eyeballs
        (0.26, -0.29, 0.20, 0.055, 0.030),  # brow ridge
        (0.44, 0.13, 0.17, 0.12, 0.055 * cheek),  # cheekbones
        (0.50, 0.46, 0.13, 0.17, -0.030 * cheek),  # hollows below them
        (0.0, 0.56, 0.24, 0.16, 0.060),  # mouth
        (0.0, 0.44, 0.022, 0.06, -0.010),  # groove above it
        (0.21, -0.56, 0.16, 0.14, 0.022),  # forehead
        (0.64, -0.34, 0.10, 0.16, -0.030),  # temples
    ]
    return _bumps(x, y, parts)


@lru_cache(maxsize=64)
def _cranium(half_width: float) -> Array:
    """Part of the silhouette (72, 2) that does not move: the spline weights of the skull times its control points."""
    angle = np.linspace(0, np.pi, 17)[1:-1]
    cos, sin = np.cos(angle), np.sin(angle)
    skull = np.column_stack(
        [half_width * 1.01 * np.sign(cos) * np.abs(cos) ** (2 / 2.35), -0.06 - 1.02 * sin ** (2 / 2.35)]
    )
    return _OUTLINE[:, 17:] @ skull


_OUTLINE = spline_rows(np.arange(72) * 32 / 72, 32, closed=True)
_JAWLINE = np.ascontiguousarray(_OUTLINE[:, :17])


def outline(identity: Identity, jaw: Array) -> Array:
    """Silhouette (72, 2) of the head without ears and hair, through the jaw landmarks (17, 2)."""
    return _JAWLINE @ jaw + _cranium(identity.half_width)


def _paint_skin(identity: Identity, frame: Frame) -> Bytes:
    """Skin without features: complexion, pores, freckles, moles."""
    coarse = Frame(16.0, frame.x0, frame.y0, round(frame.width * 16 / frame.ppu), round(frame.height * 16 / frame.ppu))
    x, y = coarse.axes
    skin, spacing, base = identity.skin, identity.eye_spacing, identity.nose_length
    blush = mix(skin, (206, 70, 66), 0.42)
    cheek = 0.20 + 0.35 * identity.make_up
    washes = [
        (
            blush,
            [
                (0.43, 0.22, 0.15, 0.11, cheek),
                (0.0, base - 0.07, 0.10, 0.07, 0.30),
                (0.0, 0.86, 0.16, 0.08, 0.20),
                (0.76, 0.05, 0.06, 0.18, 0.35),
            ],
        ),
        (scaled(skin, 0.80), [(spacing - 0.02, -0.10, 0.14, 0.07, 0.50)]),
        (
            mix(scaled(skin, 0.78), (110, 80, 110), 0.15),
            [(spacing - 0.03, 0.04, 0.12, 0.03, 0.20 + 0.3 * identity.age)],
        ),
        (mix(skin, (255, 232, 180), 0.16), [(0.0, -0.58, 0.42, 0.17, 0.8)]),
    ]
    tone = np.empty((len(y), len(x), 3), np.float32)
    tone[:] = skin
    for colour, parts in washes:
        tone += _bumps(x, y, parts)[..., None] * (np.array(colour, dtype=np.float32) - tone)
    image = cv2.resize(cv2.convertScaleAbs(tone), (frame.width, frame.height), interpolation=cv2.INTER_LINEAR)

    coarse_pores = cv2.resize(grain(1, frame.height // 2, frame.width // 2), (frame.width, frame.height))
    depth = (0.8 + 0.6 * identity.age) / 32
    pores = cv2.addWeighted(
        coarse_pores, depth, grain(2, frame.height, frame.width), 0.5 * depth, 100 - 1.5 * 128 * depth
    )
    image = cv2.multiply(image, cv2.merge((pores, pores, pores)), scale=1 / 100)

    rng = np.random.default_rng([identity.seed, identity.subject, 0, 1])
    mask = frame.mask()
    freckles = rng.standard_normal((int(90 * identity.freckles), 2)) * (0.26, 0.11) + (0.0, 0.16)
    for k, radius in enumerate((0.004, 0.006, 0.008)):
        discs(mask, frame, freckles[k::3], radius, 84)
    discs(mask, frame, rng.uniform((-0.5, -0.1), (0.5, 0.8), (int(rng.integers(0, 3)), 2)), 0.010, 180)
    if mask.any():
        blend(image, mix(scaled(skin, 0.55), (120, 60, 30), 0.3), mask)
    return image


_EAR = np.array(
    [
        (-0.03, -0.13),
        (0.035, -0.175),
        (0.095, -0.150),
        (0.112, -0.06),
        (0.085, 0.05),
        (0.062, 0.13),
        (0.022, 0.185),
        (-0.03, 0.15),
    ]
)
_HELIX = np.array([(0.0, -0.10), (0.035, -0.135), (0.075, -0.115), (0.085, -0.05), (0.062, 0.04)])
_CONCHA = np.array([(0.035, -0.06), (0.055, -0.02), (0.035, 0.05), (0.005, 0.085)])


def _paint_ears(identity: Identity, frame: Frame, skin: Bytes, cover: Bytes) -> None:
    """Both ears, on the skin and in the silhouette."""
    for side in (-1.0, 1.0):
        place = (side * (identity.half_width - 0.02), 0.03)
        flip = (side, 1.0)
        shape = spline(_EAR * flip + place, 40, closed=True)
        fill(cover, frame, shape)
        window = frame.window(shape, 0.05)
        mask = window.mask()
        strokes(mask, window, spline(_HELIX * flip + place, 16)[None], 170, 0.016)
        strokes(mask, window, spline(_CONCHA * flip + place, 12)[None], 255, 0.034)
        shade(frame.cut(skin, window), soften(mask, 0.018 * frame.ppu), 0.36)
        if identity.earrings:
            spot = frame.fixed(np.array([place[0] + side * 0.028, 0.225]))
            blob = window.mask()
            x, y = window.fixed(np.array([place[0] + side * 0.028, 0.215]))
            cv2.circle(blob, (int(x), int(y)), int(0.024 * frame.ppu * 16), 255, -1, cv2.LINE_AA, 4)
            blend(frame.cut(skin, window), (228, 196, 120), blob)
            cv2.circle(cover, (int(spot[0]), int(spot[1])), int(0.024 * frame.ppu * 16), 255, -1, cv2.LINE_AA, 4)


def _slopes(height: Floats, ppu: float) -> tuple[Floats, Floats]:
    """Central differences (x, y) of a relief, per canonical unit."""
    scale = 0.5 * ppu
    return (
        cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=1, scale=scale),
        cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=1, scale=scale),
    )


@lru_cache(maxsize=4)
def _skull(relief: Frame) -> tuple[Floats, tuple[Floats, Floats], tuple[Floats, Floats]]:
    """What every head has in common: depth for the pose, slopes for the light, what a dropped jaw adds to them.

    The light sees a narrower dome than the pose, so that the sides of the face turn away from it.
    """
    x, y = relief.axes
    closed = _dome(x, y, (0.83, 1.20, 1.23), 0.74)
    dropped = _dome(x, y, (0.83, 1.20, 1.23 + JAW_DROP), 0.74)
    depth = _dome(x, y, (1.12, 1.48, 1.42), 0.62)
    return depth, _slopes(closed, relief.ppu), _slopes(dropped - closed, relief.ppu)


@lru_cache(maxsize=6)
def head(seed: int, subject: int, ppu: float) -> Head:
    """The static layers of one person at ``ppu`` pixels per canonical unit."""
    identity = sample_identity(seed, subject)
    frame = Frame(ppu, -HALF_WIDTH, TOP, 2 * round(HALF_WIDTH * ppu), 2 * round(0.5 * (BOTTOM - TOP) * ppu))
    # Pixel centres of the coarse grid fall where cv2.resize expects them.
    half = frame.width // 2, frame.height // 2
    offset = 0.5 * (1 / SHADING - 1) / ppu
    relief = Frame(ppu * SHADING, frame.x0 + offset, frame.y0 + offset, *half)
    skin, cover = _paint_skin(identity, frame), frame.mask()
    _paint_ears(identity, frame, skin, cover)

    x, y = relief.axes
    nose = _nose(identity, x, y)
    slope = _slopes(nose + _relief(identity, x, y), relief.ppu)
    skull, skull_slope, drop_slope = _skull(relief)

    spacing, base = identity.eye_spacing, identity.nose_length
    hidden = [
        (spacing - 0.06, -0.135, 0.12, 0.05, 0.22),
        (0.12, -0.06, 0.035, 0.06, 0.15),
        (0.0, base + 0.045, 0.10, 0.03, 0.16),
        (identity.nose_width + 0.03, base - 0.045, 0.026, 0.045, 0.15),
    ]
    shiny = [
        (0.0, base - 0.10, 0.05, 0.05, 0.9),
        (0.0, -0.5, 0.4, 0.2, 0.5),
        (0.42, 0.1, 0.14, 0.08, 0.5),
        (0.0, 0.1, 0.04, 0.15, 0.4),
    ]
    # Highlights are as bright on dark skin as on light skin, so they are stronger relative to it.
    gloss = (130 / luminance(identity.skin)) * (0.55 + _bumps(x, y, shiny))

    hair, opacity = paint_hair(identity, frame)
    if opacity.any():
        reach = soften(opacity, 0.05 * ppu)
        lowered = np.zeros_like(reach)
        down = max(round(0.035 * ppu), 1)
        lowered[down:] = reach[:-down]
        shade(skin, lowered, 0.42)
    # Beyond the skull there is no skin under the hair: a thin edge there is hair through and through.
    inside = frame.mask()
    fill(inside, frame, outline(identity, landmarks(identity, np.zeros(len(ACTION_UNITS)))[:17]))
    clear = cv2.resize(cv2.bitwise_not(opacity), (relief.width, relief.height), interpolation=cv2.INTER_AREA)
    if identity.glasses != "none":
        paint_glasses(identity, frame, hair, opacity)
    painted = np.where((cv2.erode(inside, np.ones((3, 3), np.uint8)) < 255) & (opacity > 0), 255, opacity).astype(
        np.uint8
    )
    over = cv2.merge((painted, painted, painted))
    depth = skull + 0.85 * cv2.GaussianBlur(nose, (0, 0), 0.03 * relief.ppu)
    front = cv2.multiply(hair, over, scale=1 / 255)
    skin = cv2.add(cv2.multiply(skin, cv2.bitwise_not(over), scale=1 / 255), front)
    return Head(
        frame=frame,
        relief=relief,
        skin=skin,
        cover=np.maximum(cover, opacity),
        hair=front,
        hair_keep=cv2.bitwise_not(over),
        clear=clear,
        beard=None if identity.beard == "none" else paint_beard(identity, frame),
        slope=(slope[0] + skull_slope[0], slope[1] + skull_slope[1]),
        slope_drop=drop_slope,
        openness=1 - _bumps(x, y, hidden),
        gloss=gloss,
        depth=depth,
    )
