"""What moves in a face: wrinkles, brows, eyes, nostrils, mouth. Everything is drawn through the landmarks."""

from functools import lru_cache

import cv2
import numpy as np

from avce_pl.synthesis.appearance import Colour, Identity, mix
from avce_pl.synthesis.canvas import (
    FINE,
    SHIFT,
    Array,
    Bytes,
    Frame,
    blend,
    discs,
    fill,
    scaled,
    shade,
    soften,
    spline,
    spline_rows,
    strokes,
)
from avce_pl.synthesis.expression import COLUMN
from avce_pl.synthesis.nuisance import Nuisance

_FLIP = np.array([[[1.0, 1.0]], [[-1.0, 1.0]]])
"""Turns a shape (n, 2) of the image right into both sides (2, n, 2)."""

# ---------------------------------------------------------------- wrinkles

_FOREHEAD_X = np.linspace(-1.0, 1.0, 7)
_FOREHEAD_SAG = np.array([0.030, -0.006, -0.012, 0.004, -0.012, -0.006, 0.030])
_CHIN_PITS = np.array([(-0.06, 0.10), (-0.02, 0.115), (0.02, 0.10), (0.06, 0.115), (-0.04, 0.15), (0.03, 0.15)])


@lru_cache(maxsize=64)
def _furrows(identity: Identity) -> tuple[Array, Array]:
    """Furrows of the forehead, from the brows up, above y = 0: the whole of each (3, 13, 2), its middle (3, 9, 2)."""
    lean = 0.02 * identity.parting
    rows = []
    for k, reach in enumerate((0.36, 0.33, 0.24)):
        height = -0.078 * k + _FOREHEAD_SAG * (1 - 0.35 * k) + lean * _FOREHEAD_X
        rows.append(np.column_stack([reach * _FOREHEAD_X + lean * (k - 1), height]))
    whole = np.stack(rows)
    return spline(whole, 13), spline(whole[:, 1:6], 9)


def wrinkles(identity: Identity, frame: Frame, points: Array, intensities: Array) -> Bytes:
    """Furrow map (h, w) of the face: 0 smooth, 255 a deep crease. Shadow and relief are made from it later."""
    ink = frame.mask()
    au1, au2, au4, _, au6, au7, au9, au10, au12, au15, au17, au20 = intensities.tolist()[:12]
    age, old = identity.age, max(identity.age - 0.45, 0.0)

    place = points.tolist()

    # Forehead: raised brows push lines up that follow the brows.
    lift = 0.55 * max(au1, au2) + 0.25 * min(au1, au2)
    depths = [lift * (0.62 - 0.10 * k + 0.5 * age) + 0.22 * old for k in range(3)]
    if depths[0] > 0.05:
        top = (0.0, 0.5 * (place[19][1] + place[24][1]) - 0.115)
        whole, middle = (frame.fixed(rows + top) for rows in _furrows(identity))
        for depth, line, core in zip(depths, whole, middle, strict=True):
            if depth > 0.05:
                cv2.polylines(ink, [line], False, min(140 * depth, 255.0), 1, cv2.LINE_AA, SHIFT)
                cv2.polylines(ink, [core], False, min(255 * depth, 255.0), 1, cv2.LINE_AA, SHIFT)

    # All others go through three points each: depth, width, points.
    creases: list[tuple[float, float, tuple[float, ...]]] = []
    rx, ry = 0.5 * (place[21][0] + place[22][0]), 0.5 * (place[21][1] + place[22][1])
    bx, by = place[27]
    frown = au4 * (0.8 - 0.5 * min(au1, 1)) + 0.2 * old
    bridge = 0.75 * au9 + 0.15 * au4
    for s in (-1.0, 1.0):
        creases.append((frown, 0.012, (rx + 0.045 * s, ry - 0.055, rx + 0.034 * s, ry, rx + 0.040 * s, ry + 0.05)))
        creases.append(
            (0.55 * au9, 0.0, (bx + 0.045 * s, by + 0.05, bx + 0.085 * s, by + 0.09, bx + 0.10 * s, by + 0.14))
        )
    for dy in (0.0, 0.035, 0.07):
        creases.append((bridge, 0.0, (bx - 0.07, by - 0.025 + dy, bx, by - 0.045 + dy, bx + 0.07, by - 0.025 + dy)))
    fold = 0.52 * au12 + 0.50 * au10 + 0.40 * au9 + 0.20 * au20 + 0.26 * age - 0.02
    for s, (ox, oy), inner, low, (cx, cy), wing in (
        (-1.0, place[36], place[39], place[40:42], place[48], place[31]),
        (1.0, place[45], place[42], place[46:48], place[54], place[35]),
    ):
        for dy in (-0.028, 0.004, 0.034):  # crow's feet
            feet = (ox + 0.035 * s, oy + 0.4 * dy, ox + 0.075 * s, oy + dy, ox + 0.115 * s, oy + 1.9 * dy)
            creases.append((0.62 * au6 * (0.6 + 0.7 * age) + 0.25 * old, 0.0, feet))
        lx, ly = 0.5 * (low[0][0] + low[1][0]), 0.5 * (low[0][1] + low[1][1])
        bag = (inner[0] + 0.02 * s, inner[1] + 0.035, lx - 0.02 * s, ly + 0.050, lx + 0.05 * s, ly + 0.040)
        creases.append((0.45 * max(au6, 0.7 * au7) + 0.30 * age, 0.0, bag))
        # From the wing of the nose around the corner of the mouth.
        sx, sy = wing[0] + 0.032 * s, wing[1] - 0.040
        ex, ey = cx + (0.05 + 0.035 * au12) * s, cy + 0.030 + 0.015 * au12
        mx, my = 0.45 * sx + 0.55 * ex + 0.022 * s * (0.6 + au12 + 0.8 * au10), 0.45 * sy + 0.55 * ey - 0.035
        creases.append((0.6 * fold, 0.018, (sx, sy, mx, my, ex, ey)))
        inside = (0.6 * sx + 0.4 * mx, 0.6 * sy + 0.4 * my, mx, my, 0.5 * (mx + ex), 0.5 * (my + ey))
        creases.append((fold, 0.012, inside))
        # Corner of the mouth: a dimple when pulled, a bracket when drawn down.
        dimple = (cx + 0.010 * s, cy - 0.030, cx + 0.030 * s, cy, cx + 0.018 * s, cy + 0.035)
        creases.append((0.55 * au12 - 0.1, 0.0, dimple))
        droop = (cx + 0.006 * s, cy + 0.012, cx + 0.026 * s, cy + 0.050, cx + 0.030 * s, cy + 0.100)
        creases.append((0.75 * au15 + 0.18 * old, 0.012, droop))
    lx, ly = place[57]
    creases.append((0.28 + 0.35 * au17, 0.014, (lx - 0.11, ly + 0.040, lx, ly + 0.052, lx + 0.11, ly + 0.040)))

    creases = [crease for crease in creases if crease[0] > 0.05]
    lines = frame.fixed(spline(np.array([crease[2] for crease in creases]).reshape(-1, 3, 2), 7))
    for (depth, width, _), line in zip(creases, lines, strict=True):
        cv2.polylines(ink, [line], False, min(255 * depth, 255.0), frame.thickness(width), cv2.LINE_AA, SHIFT)
    if au17 > 0.2:
        discs(ink, frame, points[57] + _CHIN_PITS, 0.009, min(190 * au17 - 25, 255.0))
    return soften(ink, 0.010 * frame.ppu)


# ---------------------------------------------------------------- brows

_BROW_HAIRS = 44
_BROW_T = np.linspace(0, 1, 13)
_BROW_WIDTH = 0.029 * np.minimum(1, 0.45 + 2.6 * _BROW_T) * np.clip(1.12 - _BROW_T, 0.08, 0.75) / 0.75 + 0.002


@lru_cache(maxsize=64)
def _brow_shape(identity: Identity, fine: bool) -> tuple[Array, Array, Array]:
    """What does not move about a brow: 13 points along its body, then both ends of every hair.

    Returns:
        Spline rows of place, then of direction (2 n, 5), and the offsets across and along the brow (n, 1) each.
    """
    rng = np.random.default_rng([identity.seed, identity.subject, 0, 2])
    along = (np.arange(_BROW_HAIRS) + rng.random(_BROW_HAIRS)) / _BROW_HAIRS
    across = rng.uniform(-0.9, 0.9, _BROW_HAIRS) * np.interp(along, _BROW_T, _BROW_WIDTH) * identity.brow_thickness
    lean = np.clip(0.15 + 1.3 * along, 0, 1.2) + rng.normal(0, 0.2, _BROW_HAIRS)
    length = (0.026 + 0.020 * along) * rng.uniform(0.7, 1.3, _BROW_HAIRS) * identity.brow_thickness**0.5
    up, forward = 1 - 0.75 * lean, 0.25 + lean
    roots = np.stack([along, across - 0.012 * up, -0.012 * forward], axis=1)
    tips = np.stack([along, across + (length - 0.012) * up, (length - 0.012) * forward], axis=1)
    body = np.stack([_BROW_T, identity.brow_thickness * _BROW_WIDTH, np.zeros_like(_BROW_T)], axis=1)
    ends = np.stack([roots, tips], axis=1)[:: 1 if fine else 2]
    along, across, forward = np.concatenate([body, ends.reshape(-1, 3)]).T
    t = 4 * along
    direction = spline_rows(np.minimum(t + 0.1, 4), 5) - spline_rows(np.maximum(t - 0.1, 0), 5)
    return np.concatenate([spline_rows(t, 5), direction]), across[:, None], forward[:, None]


_BROWS = np.array([[22, 23, 24, 25, 26], [21, 20, 19, 18, 17]])
_BODY = len(_BROW_T)
_UP = np.array([[[1.0, -1.0]], [[-1.0, 1.0]]])


def brows(canvas: Bytes, identity: Identity, frame: Frame, points: Array) -> None:
    """Both brows, the image-right one first: a soft body and single hairs."""
    rows, across, forward = _brow_shape(identity, frame.ppu > FINE)
    window = frame.window(points[17:27], 0.09)
    mask = window.mask()
    both = rows @ points[_BROWS]
    count = len(across)
    place, tangent = both[:, :count], both[:, count:]
    tangent /= np.sqrt(np.einsum("ijk,ijk->ij", tangent, tangent))[..., None]
    half = (tangent[..., ::-1] * _UP) * across
    body, lift = place[:, :_BODY], half[:, :_BODY]
    fill(mask, window, np.concatenate([body + lift, (body - 0.9 * lift)[:, ::-1]], axis=1), 140)
    mask = soften(mask, 0.012 * window.ppu)
    hairs = (place + half + tangent * forward)[:, _BODY:]
    strokes(mask, window, hairs.reshape(-1, 2, 2), 225, 0.005)
    blend(frame.cut(canvas, window), identity.brow, mask)


# ---------------------------------------------------------------- eyes

_N = 11
"""Points along a lid."""

_LID_ARCH = np.column_stack([np.zeros(_N), np.sin(np.linspace(0.10, np.pi - 0.06, _N)) ** 0.6])
_LASH_TAPER = np.linspace(1.25, 0.35, _N)[:, None] * (0.0, 1.0)
_LASHES = np.array([0, 1, 2, 3, 4, 5, 7])
_LASH_TIPS = np.column_stack([np.linspace(0.026, -0.004, 7), np.linspace(-0.016, -0.026, 7)])
_LASH_TIPS = np.stack([_LASH_TIPS, _LASH_TIPS * (-1, 1)])
# Per eye, image right first: the upper lid from the outer to the inner corner, the lower lid back.
_LIDS = np.array([[45, 44, 43, 42], [42, 47, 46, 45], [36, 37, 38, 39], [39, 40, 41, 36]])


def eyes(
    canvas: Bytes, identity: Identity, frame: Frame, points: Array, intensities: Array, nuisance: Nuisance
) -> None:
    """Both eyes with their lids and lashes, drawn together."""
    window = frame.window(points[36:48], 0.09)
    region, ppu = frame.cut(canvas, window), frame.ppu
    curves = spline(points[_LIDS], _N)
    upper, lower = curves[0::2], curves[1::2]
    heights = points[36:48, 1].tolist()
    gap = 0.25 * sum(heights[k] for k in (4, 5, 10, 11)) - 0.25 * sum(heights[k] for k in (1, 2, 7, 8))

    # The lid from the lashes up to its fold.
    rise = 0.030 + 0.016 * float(intensities[COLUMN[5]]) + 0.022 * (1 - min(gap / 0.10, 1.0))
    fold = upper - rise * _LID_ARCH
    lid = np.concatenate([fold, upper[:, ::-1]], axis=1)
    mask = window.mask()
    fill(mask, window, lid, 58)
    strokes(mask, window, fold[:, 1:-1], 165, 0.008)
    shade(region, soften(mask, 0.008 * ppu), 0.60)
    if identity.make_up > 0:
        mask[:] = 0
        fill(mask, window, lid, int(110 * identity.make_up))
        blend(region, (84, 54, 80), soften(mask, 0.014 * ppu))
    if gap > 0.012:
        _eyeballs(region, window, identity, upper, lower, nuisance)

    # Lashes: a line that thickens outwards.
    weight = 0.010 + 0.006 * identity.make_up
    mask[:] = 0
    line = np.concatenate([upper + (0.35 * weight) * _LASH_TAPER, (upper - weight * _LASH_TAPER)[:, ::-1]], axis=1)
    fill(mask, window, line, 235)
    if ppu > FINE:
        count = len(_LASHES) if identity.make_up > 0 else 1
        root = upper[:, _LASHES[:count]]
        tip = root + (0.4 + identity.make_up) * _LASH_TIPS[:, :count]
        strokes(mask, window, np.concatenate([root, tip], axis=2).reshape(-1, 2, 2), 200)
    strokes(mask, window, lower, 60 + int(70 * identity.make_up))
    blend(region, mix((26, 20, 20), identity.brow, 0.3), mask)


def _eyeballs(region: Bytes, window: Frame, identity: Identity, upper: Array, lower: Array, nuisance: Nuisance) -> None:
    """What the open lids show: white, iris, pupil, the shadow of the lids and two reflections of the light."""
    ppu, unit = window.ppu, window.ppu * (1 << SHIFT)
    radius = 0.060 * (0.6 + 0.4 * identity.eye_size) * unit
    gaze_x, gaze_y = 0.055 * nuisance.gaze[0], 0.030 * nuisance.gaze[1] - 0.072
    irises = [int((side * identity.eye_spacing + gaze_x - window.x0) * unit) for side in (1, -1)]
    height = int((gaze_y - window.y0) * unit)
    paint = window.solid((236, 232, 227))

    def discs_at(dx: float, dy: float, share: float, colour: Colour) -> None:
        """A disc on both eyes; place and size in iris radii."""
        y, r = height + int(dy * radius), max(int(share * radius), 8)
        for x in irises:
            cv2.circle(paint, (x + int(dx * radius), y), r, colour, -1, cv2.LINE_AA, SHIFT)

    fine = ppu > FINE
    discs_at(0, 0, 1.0, scaled(identity.iris, 0.42))
    discs_at(0, 0.03, 0.86, identity.iris)
    if fine:
        discs(paint, window, lower[:, 0], 0.030, (214, 160, 150))
        discs_at(0, 0.32, 0.52, scaled(mix(identity.iris, (255, 240, 200), 0.12), 1.35))
    discs_at(0, 0, 0.45, (14, 11, 12))
    opening = window.mask()
    fill(opening, window, np.concatenate([upper, lower[:, 1:-1]], axis=1))
    # Little light reaches under the lids, least of all under the upper one.
    inside = soften(opening, 0.022 * ppu)
    down = max(round(0.016 * ppu), 1)
    lit = window.mask()
    cv2.convertScaleAbs(inside[:-down], alpha=0.62, beta=105, dst=lit[down:])
    cv2.multiply(paint, cv2.merge((lit, lit, lit)), dst=paint, scale=1 / 255)
    if fine:
        side = -0.30 if nuisance.light_azimuth < 0 else 0.30
        discs_at(side, -0.38, 0.20, (255, 255, 252))
        discs_at(-side, 0.42, 0.10, (225, 225, 222))
        strokes(paint, window, lower, mix(identity.skin, (216, 140, 130), 0.4), 0.008)
    blend(region, paint, opening)


# ---------------------------------------------------------------- nose

_NOSTRIL = spline(
    np.array([(0.26, -0.010), (0.40, -0.030), (0.62, -0.030), (0.72, -0.008), (0.52, 0.002)]), 16, closed=True
)
_WING_LINE = spline(np.array([(0.86, -0.082), (1.08, -0.050), (1.06, -0.012), (0.84, 0.006)]), 10)
_BASE_LINE = spline(np.array([(-0.62, 0.004), (-0.25, 0.008), (0.0, 0.018), (0.25, 0.008), (0.62, 0.004)]), 12)


def nostrils(canvas: Bytes, identity: Identity, frame: Frame, points: Array) -> None:
    """Two nostrils, the lines around the wings, and the line under the nose."""
    window = frame.window(points[30:36], 0.06)
    mask = window.mask()
    base, across = points[33], np.array([points[35, 0] - points[33, 0], 1.0])
    fill(mask, window, base + _NOSTRIL * across * _FLIP, 205)
    if frame.ppu > FINE:
        strokes(mask, window, base + _WING_LINE * across * _FLIP, 84)
        strokes(mask, window, base + _BASE_LINE * across, 70)
    dark = mix(scaled(identity.skin, 0.30), (70, 22, 18), 0.35)
    blend(frame.cut(canvas, window), dark, soften(mask, 0.007 * frame.ppu))


# ---------------------------------------------------------------- mouth

_LIPS = np.array([48, 49, 50, 51, 52, 53, 54, 54, 55, 56, 57, 58, 59, 48]).reshape(2, 7)
_INSIDE = np.array([48, 60, 61, 62, 63, 64, 54, 54, 64, 65, 66, 67, 60, 48]).reshape(2, 7)
_M = 17
"""Points along the edge of a lip."""

_TEETH = np.array([-0.105, -0.055, 0.0, 0.055, 0.105])
_TURN = np.linspace(0, 2 * np.pi, 20, endpoint=False)
_DISC = np.column_stack([np.cos(_TURN), np.sin(_TURN)])
_DOWN = np.array([0.0, 1.0])


def mouth(canvas: Bytes, identity: Identity, frame: Frame, points: Array, intensities: Array) -> None:
    """Lips, and between them teeth, tongue and the dark."""
    window = frame.window(points[48:60], 0.04)
    region, ppu = frame.cut(canvas, window), frame.ppu
    (top_outer, low_outer), (top_inner, low_inner) = spline(points[_LIPS], _M), spline(points[_INSIDE], _M)
    gap = float(points[66, 1] - points[62, 1])

    # Lips: the lower one catches the light, the upper one does not.
    paint = window.solid(identity.lip)
    fill(paint, window, np.concatenate([top_outer - 0.03 * _DOWN, top_inner[::-1]]), scaled(identity.lip, 0.84))
    strokes(paint, window, (0.45 * low_outer + 0.55 * low_inner)[5:12], mix(identity.lip, (255, 226, 214), 0.36), 0.010)
    blur = 2 * max(1, round(0.012 * ppu)) + 1
    paint = cv2.blur(paint, (blur, blur))
    mask = window.mask()
    fill(mask, window, np.concatenate([top_outer, low_outer[1:-1]]), 238)
    blend(region, paint, soften(mask, 0.006 * ppu))
    if gap > 0.008:
        _inside(region, window, points, intensities, top_inner, low_inner)

    # The line between the lips and its ends.
    mask[:] = 0
    strokes(mask, window, top_inner, 190 if gap < 0.02 else 110, 0.009)
    if ppu > FINE:
        strokes(mask, window, top_inner[[[0, 1, 2], [-1, -2, -3]]], 200)
    blend(region, scaled(mix(identity.lip, (60, 20, 20), 0.55), 0.62), soften(mask, 0.005 * ppu))


def _inside(region: Bytes, window: Frame, points: Array, intensities: Array, top: Array, low: Array) -> None:
    """What an open mouth shows, between the inner edges ``top`` and ``low`` (17, 2) of the lips."""
    au = intensities.tolist()
    au10, au12, au20, au26 = au[7], au[8], au[11], au[14]
    half, middle = 0.5 * float(points[54, 0] - points[48, 0]), float(points[62, 0])
    square = ((top[:, 0] - middle) * (1 / half)) ** 2
    paint = window.solid((58, 18, 20))
    if au26 > 0.25:
        tongue = (middle, float(points[66, 1]) - 0.012) + _DISC * (0.55 * half, 0.085 * min(au26, 1.0))
        fill(paint, window, tongue, (172, 74, 76))
        blur = 2 * max(1, round(0.020 * window.ppu)) + 1
        paint = cv2.blur(paint, (blur, blur))
    shown = 0.070 * min(max(0.9 * au12 + 1.2 * au10 + au20 + 0.45 * au26, 0.25), 1.0)
    edge = top.copy()
    edge[:, 1] += shown * np.maximum(1 - 0.75 * square, 0.1)
    fill(paint, window, np.concatenate([top - 0.02 * _DOWN, edge[::-1]]), (236, 230, 218))
    if window.ppu > FINE:
        gaps = np.empty((5, 2, 2))
        gaps[:, :, 0] = (middle + _TEETH)[:, None]
        gaps[:, 1, 1] = np.interp(middle + _TEETH, edge[:, 0], edge[:, 1]) - 0.004
        gaps[:, 0, 1] = gaps[:, 1, 1] - shown
        strokes(paint, window, gaps, (206, 198, 186))
    below = min(max(au20 + 0.4 * au26 - 0.1, 0.0), 1.0)
    if below > 0.1:
        edge = low.copy()
        edge[:, 1] -= 0.038 * below * np.maximum(1 - 1.2 * square[::-1], 0)
        fill(paint, window, np.concatenate([low + 0.02 * _DOWN, edge[::-1]]), (222, 215, 204))
    opening = window.mask()
    fill(opening, window, np.concatenate([top, low[1:-1]]))
    lit = cv2.convertScaleAbs(soften(opening, 0.030 * window.ppu), alpha=0.75, beta=64)
    blend(region, cv2.multiply(paint, cv2.merge((lit, lit, lit)), scale=1 / 255), opening)
