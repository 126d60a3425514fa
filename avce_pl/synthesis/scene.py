"""Around the face: backgrounds, things in the way, and the camera."""

import math
from functools import lru_cache

import cv2
import numpy as np

from avce_pl.synthesis.appearance import Colour, mix
from avce_pl.synthesis.canvas import SHIFT, Array, Bytes, blend, grain, scaled, soften, solid
from avce_pl.synthesis.nuisance import Nuisance

BACKGROUNDS = 48
_SIDE = 128

_WALLS: tuple[Colour, ...] = (
    (118, 128, 138),
    (150, 140, 124),
    (96, 112, 104),
    (136, 116, 112),
    (84, 92, 112),
    (172, 164, 150),
    (70, 74, 82),
    (128, 134, 116),
)


@lru_cache(maxsize=BACKGROUNDS)
def _background(number: int) -> Bytes:
    """One out-of-focus background (128, 128, 3)."""
    rng = np.random.default_rng([104729, number])
    wall = _WALLS[number % len(_WALLS)]
    y, x = np.mgrid[0:_SIDE, 0:_SIDE].astype(np.float32) / _SIDE
    glow = np.exp(-(((x - rng.uniform(0.2, 0.8)) / 0.6) ** 2) - ((y - rng.uniform(0.1, 0.5)) / 0.6) ** 2)
    image = (np.array(wall) * (0.68 + 0.50 * glow - 0.16 * y)[..., None]).clip(0, 255).astype(np.uint8)
    kind = number // len(_WALLS)

    def tint(strength: float) -> Colour:
        """A muted colour near the wall's."""
        other = tuple(float(c) for c in rng.uniform(30, 220, 3))
        return scaled(mix(wall, (other[0], other[1], other[2]), strength), float(rng.uniform(0.5, 1.35)))

    mask = np.zeros((_SIDE, _SIDE), np.uint8)
    if kind == 1:  # a room: window, shelf, picture
        for _ in range(6):
            left, top, wide, high = (int(v) for v in rng.uniform((0, 0, 14, 18), (110, 80, 50, 70)))
            cv2.rectangle(image, (left, top), (left + wide, top + high), tint(0.4), -1)
            cv2.rectangle(image, (left, top), (left + wide, top + high), scaled(wall, 0.5), 2)
    elif kind == 2:  # leaves in the sun
        for _ in range(90):
            green = mix((54, 84, 40), (186, 196, 104), float(rng.random()))
            cx, cy, r = (int(v) for v in rng.uniform((0, 0, 4), (_SIDE, _SIDE, 13)))
            cv2.ellipse(
                image, (cx, cy), (r, max(r // 2, 1)), float(rng.uniform(0, 180)), 0, 360, green, -1, cv2.LINE_AA
            )
    elif kind == 3:  # lights at night
        image = cv2.multiply(image, np.full_like(image, 110), scale=1 / 255)
        for _ in range(26):
            cx, cy, r = (int(v) for v in rng.uniform((0, 0, 4), (_SIDE, _SIDE, 11)))
            mask[:] = 0
            cv2.circle(mask, (cx, cy), r, int(rng.uniform(60, 170)), -1, cv2.LINE_AA)
            blend(image, mix((255, 206, 130), tint(0.9), float(rng.uniform(0, 0.8))), mask)
    elif kind == 4:  # a street
        for left in range(-10, _SIDE, 22):
            top = int(rng.uniform(5, 60))
            cv2.rectangle(image, (left, top), (left + 24, _SIDE), tint(0.35), -1)
            for row in range(top + 6, _SIDE, 12):
                cv2.rectangle(image, (left + 4, row), (left + 10, row + 5), tint(0.5), -1)
    elif kind == 5:  # coarse clutter
        for _ in range(16):
            corner = rng.uniform(-20, _SIDE, (1, 2)) + rng.uniform(-26, 26, (4, 2))
            cv2.fillPoly(image, [corner.astype(np.int32)], tint(0.6), cv2.LINE_AA)
    blurred: Bytes = cv2.GaussianBlur(image, (0, 0), 3.0 if kind == 3 else float(rng.uniform(4.0, 7.0)))
    return blurred


def background(number: int, size: int, exposure: float) -> Bytes:
    """A background (size, size, 3); the number picks scene, mirror image and section."""
    image = _background(number % BACKGROUNDS)
    number //= BACKGROUNDS
    side = 96 + 8 * (number % 5)
    left = (number * 7) % (_SIDE - side + 1)
    part = image[(number * 5) % (_SIDE - side + 1) :, left:][:side, :side]
    if number % 2:
        part = cv2.flip(part, 1)
    part = cv2.convertScaleAbs(part, alpha=exposure)
    return cv2.resize(part, (size, size), interpolation=cv2.INTER_LINEAR)


def _lay_flesh(image: Bytes, mask: Bytes, skin: Colour, depth: float) -> None:
    """Lay a rounded piece of skin over the picture; ``depth`` is how far the rounding reaches, in picture sides."""
    radius = depth * len(image)
    left, top, width, height = cv2.boundingRect(mask)
    reach = math.ceil(2 * radius) + 2  # no less than the blur looks at
    part = np.s_[max(top - reach, 0) : top + height + reach, max(left - reach, 0) : left + width + reach]
    region, mask = image[part], mask[part]
    light = cv2.convertScaleAbs(soften(mask, radius), alpha=0.58, beta=96)
    flesh = solid(len(mask), mask.shape[1], skin)
    blend(region, cv2.multiply(flesh, cv2.merge((light, light, light)), scale=1 / 255), mask)


def occlude(image: Bytes, nuisance: Nuisance, skin: Colour) -> None:
    """Put a hand, a microphone, a bar or a card in front of the face, in place."""
    size = image.shape[0]
    u = nuisance.occluder_place
    mask = np.zeros((size, size), np.uint8)
    side = 1.0 if u[0] < 0.5 else -1.0

    def polygon(points: Array, value: int = 255) -> None:
        """Fill a polygon given in shares of the picture, mirrored to the chosen side."""
        place = np.column_stack([0.5 + side * (points[:, 0] - 0.5), points[:, 1]])
        cv2.fillPoly(mask, [(place * (size << SHIFT)).astype(np.int32)], value, cv2.LINE_AA, SHIFT)

    t = np.linspace(0, 2 * np.pi, 28)
    disc = np.column_stack([np.cos(t), np.sin(t)])
    if nuisance.occluder == "hand":
        # Fingers one after the other, each with its own shading, then the back of the hand over their roots.
        centre = np.array([0.80 + 0.12 * u[1], 0.93 - 0.10 * u[2]])
        lean = 0.5 * (u[3] - 0.3)
        for k in range(4):
            angle = -2.15 + 0.30 * k + lean
            root = centre + 0.085 * np.array([np.cos(angle), np.sin(angle)])
            along = np.array([np.cos(angle - 0.12), np.sin(angle - 0.12)])
            tip = root + (0.155, 0.185, 0.180, 0.140)[k] * along
            place = np.stack([root, 0.5 * (root + tip) + 0.010 * along[::-1] * (1, -1), tip])
            place[:, 0] = 0.5 + side * (place[:, 0] - 0.5)
            mask[:] = 0
            line = [(place * (size << SHIFT)).astype(np.int32)]
            cv2.polylines(mask, line, False, 255, max(2, round(0.062 * size)), cv2.LINE_AA, SHIFT)
            _lay_flesh(image, mask, skin, 0.018)
        mask[:] = 0
        polygon(centre + disc * (0.125, 0.115))
        polygon(centre + np.array([(-0.10, 0.05), (0.12, 0.0), (0.20, 0.4), (0.0, 0.4)]))
        _lay_flesh(image, mask, skin, 0.03)
    elif nuisance.occluder == "microphone":
        centre = np.array([0.40 + 0.3 * u[1], 0.84 + 0.10 * u[2]])
        polygon(centre + np.array([(-0.03, 0.05), (0.03, 0.05), (0.09, 0.6), (0.01, 0.6)]))
        blend(image, (44, 44, 50), soften(mask, 0.006 * size))
        mask[:] = 0
        polygon(centre + disc * 0.085)
        shine = soften(mask, 0.05 * size)
        foam = cv2.convertScaleAbs(shine, alpha=0.35, beta=12)
        foam = cv2.add(foam, cv2.convertScaleAbs(grain(4, size, size), alpha=0.12))
        blend(image, cv2.merge((foam, foam, foam)), mask)
    elif nuisance.occluder == "bar":
        wide = 0.08 + 0.14 * u[1]
        polygon(np.array([(1 - wide, -0.1), (1.1, -0.1), (1.1, 1.1), (1 - wide + 0.06 * (u[2] - 0.5), 1.1)]))
        tone = (40 + 120 * u[3], 40 + 110 * ((7 * u[3]) % 1), 40 + 110 * ((13 * u[3]) % 1))
        blend(image, tone, soften(mask, 0.025 * size))
    else:
        high = 0.16 + 0.14 * u[1]
        tilt = 0.10 * (u[2] - 0.5)
        left = 0.15 + 0.4 * u[3]
        polygon(np.array([(left, 1 - high), (left + 0.45, 1 - high + tilt), (left + 0.45, 1.1), (left - tilt, 1.1)]))
        blend(image, scaled(_WALLS[int(u[3] * len(_WALLS))], 1.35), soften(mask, 0.008 * size))


def camera(image: Bytes, nuisance: Nuisance) -> Bytes:
    """What lens, sensor and file format do to the picture."""
    size = image.shape[0]
    if nuisance.gray:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if nuisance.downscale < 1:
        small = max(8, round(size * nuisance.downscale))
        image = cv2.resize(image, (small, small), interpolation=cv2.INTER_LINEAR)
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
    if nuisance.blur > 0:
        sigma = max(nuisance.blur * size / 224, 0.3)
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    if nuisance.noise > 0:
        amount = nuisance.noise / 32
        image = cv2.addWeighted(image, 1.0, _sensor_noise(nuisance.grain, size), amount, -128 * amount)
    if nuisance.jpeg > 0:
        # A block of 8 x 8 is a larger part of a small picture, so the same quality would destroy more of it.
        quality = nuisance.jpeg if size >= 112 else (nuisance.jpeg + 95) // 2
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED))
    return image


@lru_cache(maxsize=1)
def _sensor_noise_bank() -> Bytes:
    """Noise (1024, 1024, 3) of standard deviation 32 about 128."""
    pattern = np.random.default_rng(7907).standard_normal((1024, 1024, 3), dtype=np.float32)
    return np.clip(128 + 32 * pattern, 0, 255).astype(np.uint8)


def _sensor_noise(seed: int, size: int) -> Bytes:
    """A section of the noise bank; it repeats in pictures larger than 1024 pixels."""
    bank = _sensor_noise_bank()
    if size > 1024:
        return np.tile(bank, (size // 1024 + 1, size // 1024 + 1, 1))[:size, :size]
    room = 1024 - size + 1
    top, left = seed % room, (seed // room) % room
    return bank[top : top + size, left : left + size].copy()
