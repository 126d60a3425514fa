"""Light on the relief of a face."""

import math

import cv2
import numpy as np

from avce_pl.synthesis.canvas import Array, Bytes, Floats, bell
from avce_pl.synthesis.head import Head
from avce_pl.synthesis.nuisance import Nuisance

_UNIT = 120.0
"""Byte level of the light that leaves a picture as painted."""

_WRAP = 0.28
"""How far light reaches around the terminator."""

_CREASE_DEPTH = 0.030

_DULL = 0.1
"""Cosine below which the highlight is nothing; its 24th power must not become a subnormal number, which is slow."""


def _moving_bumps(points: Array, intensities: Array) -> Floats:
    """Bumps (5, n) of the relief that move with the face: x, y, spread x, spread y, height."""
    au = intensities.tolist()
    au1, au4, au6, au9, au12, au17, au26 = au[0], au[2], au[4], au[6], au[8], au[10], au[14]
    place = points.tolist()
    raised = max(au6, 0.6 * au12)
    rows = []
    for sign, inner, corner in ((-1.0, place[21], place[48]), (1.0, place[22], place[54])):
        rows.append((sign * 0.35, 0.225 - 0.06 * raised, 0.125, 0.085, 0.030 + 0.060 * raised))  # cheek
        rows.append((inner[0] + 0.02 * sign, inner[1] + 0.035, 0.06, 0.035, 0.030 * max(au4, au9)))  # frown
        rows.append((corner[0] + 0.045 * sign, corner[1], 0.035, 0.05, -0.030 * au12 - 0.012))  # corner of the mouth
        rows.append((sign * 0.46, 0.52, 0.12, 0.16, -0.035 * au26))  # hollow cheek
    half = 0.5 * (place[54][0] - place[48][0])
    low = place[57][1]
    rows.append((0.0, 0.5 * (place[51][1] + place[62][1]), 0.55 * half, 0.026, 0.024))
    rows.append((0.0, 0.5 * (low + place[66][1]), 0.50 * half, 0.030, 0.034))
    rows.append((0.0, low + 0.055, 0.13, 0.035, -0.034 - 0.015 * au17))
    rows.append((0.0, place[8][1] - 0.125, 0.15, 0.085, 0.055 + 0.03 * au17))
    rows.append((0.0, -0.52, 0.30, 0.06, 0.012 * au1))
    return np.array(rows, dtype=np.float32).T


def cast(canvas: Bytes, amount: Floats, nuisance: Nuisance) -> Bytes:
    """A painted picture (h, w, 3) in the light whose amount (any size, 1 is as painted) is given.

    Red and blue follow about the .8th and 1.13th power of the amount, close to 1: shadows on skin turn red, because
    it scatters red light furthest. Colour and exposure of the light come on top.
    """
    red, green, blue = (_UNIT * nuisance.exposure * tint for tint in nuisance.cast)
    square = amount * amount
    light = cv2.merge(
        (
            cv2.addWeighted(amount, 1.2 * red, square, -0.2 * red, 0),
            amount * green,
            cv2.addWeighted(amount, 0.87 * blue, square, 0.13 * blue, 0),
        )
    )
    # OpenCV interpolates three float channels faster than three byte channels.
    light = cv2.resize(light, (canvas.shape[1], canvas.shape[0]), interpolation=cv2.INTER_LINEAR)
    return cv2.multiply(canvas, cv2.convertScaleAbs(light), scale=1 / _UNIT)


def illuminate(
    head: Head, points: Array, intensities: Array, ink: Bytes, nuisance: Nuisance, rotation: Array
) -> Floats:
    """Amount of light (h, w) on the face, on the relief grid.

    Wrapped Lambert light from the key light, ambient light that comes more from above and less into hollows, and a
    broad highlight. Normals come from the static relief, the bumps that move, the jaw and the furrows.
    """
    x, y = head.relief.axes
    bx, by, sx, sy, height = _moving_bumps(points, intensities)[..., None]
    dx, dy = (x - bx) / sx, (y - by) / sy
    gx, gy = bell(dx), height * bell(dy)
    slope_x = gy.T @ (gx * (-dx / sx))
    slope_y = (gy * (-dy / sy)).T @ gx
    slope_x += head.slope[0]
    slope_y += head.slope[1]
    drop = min(float(intensities[14]), 1.1)
    if drop > 0.02:
        cv2.scaleAdd(head.slope_drop[0], drop, slope_x, dst=slope_x)
        cv2.scaleAdd(head.slope_drop[1], drop, slope_y, dst=slope_y)
    steep = -0.5 * _CREASE_DEPTH * head.relief.ppu / 255
    slope_x += cv2.Sobel(ink, cv2.CV_32F, 1, 0, ksize=1, scale=steep)
    slope_y += cv2.Sobel(ink, cv2.CV_32F, 0, 1, ksize=1, scale=steep)

    azimuth, elevation = nuisance.light_azimuth, nuisance.light_elevation
    level = math.cos(elevation)
    light = (math.sin(azimuth) * level, -math.sin(elevation), math.cos(azimuth) * level)
    length = math.sqrt(2 + 2 * light[2])
    half = (light[0] / length, light[1] / length, (light[2] + 1) / length)
    (la, lb, lc), (ha, hb, hc) = (np.array([light, half]) @ rotation).tolist()
    inverse = np.ones_like(slope_x)
    cv2.accumulateSquare(slope_x, inverse)
    cv2.accumulateSquare(slope_y, inverse)
    inverse = cv2.pow(inverse, -0.5)
    # Cosines between the normal (-slope_x, -slope_y, 1) * inverse and the key light, then the way half to the viewer.
    diffuse = cv2.addWeighted(slope_x, -la, slope_y, -lb, lc)
    diffuse *= inverse
    diffuse += _WRAP
    shine = cv2.addWeighted(slope_x, -ha, slope_y, -hb, hc)
    shine *= inverse
    np.maximum(shine, _DULL, out=shine)
    shine *= shine
    shine *= shine
    shine *= shine
    shine *= shine * shine
    shine *= head.gloss
    # Light on top of the skin, as the factor that adds the same amount to skin of medium tone.
    amount: Floats = slope_y
    amount *= inverse
    amount *= 0.14 * nuisance.ambient
    amount += 0.86 * nuisance.ambient
    amount *= head.openness
    cv2.scaleAdd(np.maximum(diffuse, 0, out=diffuse), nuisance.key / (1 + _WRAP), amount, dst=amount)
    amount *= 1 - (0.42 / 255) * ink.astype(np.float32)
    cv2.scaleAdd(shine, 0.20 * nuisance.key, amount, dst=amount)
    return amount
