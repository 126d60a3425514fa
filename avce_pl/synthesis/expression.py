"""From valence and arousal to facial action units, and from action units to 68 facial landmarks.

Coordinates are canonical head units: x to the image right, y down, the origin between the eyes and the nose tip.
The average half face is .70 wide, its chin lies at y = .96 and its crown at y = -1.10. Landmarks follow the usual
68-point order (0-16 jaw, 17-26 brows, 27-35 nose, 36-47 eyes, 48-67 mouth), counted from the image left.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from avce_pl.synthesis.appearance import Identity

Array = NDArray[np.float64]

ACTION_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 15, 17, 20, 23, 25, 26, 43)
"""FACS numbers of the action units, in the order of every action unit vector of this package."""

COLUMN = {number: column for column, number in enumerate(ACTION_UNITS)}

ANCHORS: dict[str, tuple[tuple[float, float], dict[int, float]]] = {
    "neutral": ((0.0, 0.0), {}),
    "happy": ((0.75, 0.30), {6: 0.70, 7: 0.15, 12: 0.80, 25: 0.45, 26: 0.05}),
    "delighted": ((0.90, -0.05), {6: 0.60, 12: 0.90, 25: 0.25}),
    "excited": ((0.65, 0.72), {1: 0.45, 2: 0.55, 5: 0.45, 6: 0.45, 12: 0.95, 25: 0.85, 26: 0.55}),
    "surprised": ((0.15, 0.85), {1: 0.95, 2: 0.95, 5: 0.85, 25: 0.75, 26: 0.90}),
    "alarmed": ((-0.10, 0.98), {1: 1.0, 2: 0.90, 4: 0.15, 5: 1.0, 20: 0.30, 25: 0.90, 26: 0.95}),
    "afraid": (
        (-0.42, 0.80),
        {1: 0.95, 2: 0.55, 4: 0.55, 5: 0.95, 15: 0.15, 20: 0.90, 25: 0.70, 26: 0.30},
    ),
    "angry": (
        (-0.65, 0.62),
        {4: 1.0, 5: 0.55, 7: 0.65, 9: 0.20, 10: 0.20, 17: 0.35, 23: 0.80, 25: 0.15},
    ),
    "disgusted": (
        (-0.78, 0.30),
        {4: 0.60, 6: 0.20, 7: 0.50, 9: 0.95, 10: 0.90, 15: 0.35, 17: 0.35, 25: 0.20},
    ),
    "miserable": ((-0.92, -0.08), {1: 0.50, 4: 0.75, 7: 0.35, 10: 0.25, 15: 0.85, 17: 0.65, 20: 0.15}),
    "sad": ((-0.68, -0.40), {1: 0.85, 4: 0.50, 15: 0.85, 17: 0.60, 43: 0.28}),
    "bored": ((-0.35, -0.72), {1: 0.25, 15: 0.45, 17: 0.20, 43: 0.55}),
    "sleepy": ((0.02, -0.95), {25: 0.08, 43: 0.97}),
    "calm": ((0.40, -0.72), {6: 0.05, 12: 0.30, 43: 0.65}),
    "content": ((0.70, -0.45), {6: 0.30, 12: 0.62, 43: 0.32}),
}
"""Name -> ((valence, arousal), {action unit number: intensity}): the displays the action unit map goes through."""

_EPS = 0.15
_RIDGE = 0.01
_HALF = 0.46


def anchor_intensities(name: str) -> Array:
    """Action unit vector (16,) of the anchor called ``name``."""
    intensities = np.zeros(len(ACTION_UNITS))
    for number, value in ANCHORS[name][1].items():
        intensities[COLUMN[number]] = value
    return intensities


@lru_cache(maxsize=1)
def _interpolant() -> tuple[Array, Array, Array]:
    """Centres (n, 2), radial weights (n, 16) and linear tail (3, 16) of the action unit map."""
    centres = [np.array(position) for position, _ in ANCHORS.values()]
    targets = [anchor_intensities(name) for name in ANCHORS]
    for position, target in zip(centres[1:], targets[1:], strict=True):
        centres = [*centres, 0.5 * position]
        targets = [*targets, _HALF * target]
    points, values = np.stack(centres), np.stack(targets)
    n = len(points)
    distance = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    tail = np.column_stack([np.ones(n), points])
    system = np.zeros((n + 3, n + 3))
    # A multiquadric is conditionally negative definite, so the ridge is subtracted.
    system[:n, :n] = np.hypot(distance, _EPS) - _RIDGE * np.eye(n)
    system[:n, n:], system[n:, :n] = tail, tail.T
    solution = np.linalg.solve(system, np.concatenate([values, np.zeros((3, values.shape[1]))]))
    return points, solution[:n], solution[n:]


def action_units(valence: ArrayLike, arousal: ArrayLike) -> Array:
    """Action unit intensities of the average person who feels (valence, arousal).

    A smooth map through `ANCHORS` and through the same anchors at half radius with .46 of their intensity:
    multiquadric radial basis functions with a linear tail, clipped to [0, 1.1] (ours). It reproduces the anchors
    to .05 and is locally invertible over the unit disc, so the labels can be recovered from the face.

    Args:
        valence: Valence in [-1, 1], any shape.
        arousal: Arousal in [-1, 1], the same shape.

    Returns:
        Array (..., 16) in the order of `ACTION_UNITS`.
    """
    points, weights, tail = _interpolant()
    feeling = np.stack([np.asarray(valence, dtype=float), np.asarray(arousal, dtype=float)], axis=-1)
    offset = feeling[..., None, :] - points
    radial = np.sqrt((offset * offset).sum(axis=-1) + _EPS**2)
    intensities: Array = radial @ weights + feeling @ tail[1:] + tail[0]
    return np.minimum(np.maximum(intensities, 0.0), 1.1)


def display(identity: Identity, valence: float, arousal: float, express: float) -> Array:
    """Action units (16,) this person shows at (valence, arousal), before any noise.

    The average map is scaled by ``express`` and the person's gains, mixed with the person's habits (open- or
    closed-mouth anger, teeth or no teeth in a smile, how much the eyes smile) and laid over the resting tonus.
    """
    shown = (action_units(valence, arousal) * identity.gains * express).tolist()
    if identity.open_anger_habit > 0.6:
        anger = min(max(shown[COLUMN[4]] - 0.3, 0.0), 1.0) * max(arousal, 0.0)
        shown[COLUMN[23]] *= 1 - 0.6 * anger
        shown[COLUMN[25]] += 0.9 * anger
        shown[COLUMN[26]] += 0.3 * anger
        shown[COLUMN[10]] += 0.35 * anger
    smile = min(shown[COLUMN[12]], 1.0)
    if identity.teeth_habit < 0.3:
        shown[COLUMN[25]] *= 1 - 0.8 * smile
    elif identity.teeth_habit > 0.7:
        shown[COLUMN[25]] += 0.3 * smile
    shown[COLUMN[6]] *= identity.duchenne_habit
    rest = zip(shown, identity.tonus.tolist(), strict=True)
    return np.array([min(value + tonus * max(1 - value, 0.0), 1.2) for value, tonus in rest])


_JAW_TOP = -0.06


@lru_cache(maxsize=64)
def _jaw(identity: Identity) -> tuple[Array, Array, Array, Array]:
    """The closed jaw: x and y (17,), how far down each point is (17,), and how much it belongs to the cheek (17,)."""
    angle = np.linspace(np.pi, 0.0, 17)
    cos, sin = np.cos(angle), np.sin(angle)
    depth = np.abs(sin) ** (2 / identity.jaw)
    x = identity.half_width * np.sign(cos) * np.abs(cos) ** (2 / identity.jaw)
    x *= 1 + (identity.chin_width - 1) * depth**6
    return x, _JAW_TOP + (identity.chin - _JAW_TOP) * depth, depth, np.sin(2 * angle) ** 2


# One brow, inner to outer: place, arch, tilt, and the shares of inner raise, outer raise and lowering.
_BROW = (
    (0.125, 0.000, -1.0, 1.00, 0.15, 1.00),
    (0.205, -0.026, -0.5, 0.75, 0.45, 0.75),
    (0.300, -0.044, 0.0, 0.35, 0.85, 0.40),
    (0.400, -0.036, 0.5, 0.08, 1.00, 0.12),
    (0.490, 0.006, 1.0, 0.00, 0.85, 0.00),
)


def _brow(identity: Identity, sign: float, au: list[float]) -> list[tuple[float, float]]:
    """One brow, inner to outer."""
    au1, au2, au4, au9 = au[0], au[1], au[2], au[6]
    wide, high = identity.half_width / 0.70, -0.285 - identity.brow_height + 0.030 * au4
    knit = 0.065 * au4 * (1 - 0.8 * au1) + 0.025 * au9
    arch, tilt = identity.brow_arch, identity.brow_tilt
    return [
        (
            sign * (wide * x - 0.045 * au4 * down),
            high + arch * curve + tilt * lean - 0.110 * au1 * inner - 0.095 * au2 * outer + knit * down,
        )
        for x, curve, lean, inner, outer, down in _BROW
    ]


def _eye(identity: Identity, sign: float, au: list[float]) -> list[tuple[float, float]]:
    """One eye: inner corner, two upper points, outer corner, two lower points (outer to inner)."""
    au5, au6, au7, closed = au[3], au[4], au[5], min(au[15], 1.0)
    size, centre, line, tilt = identity.eye_size, identity.eye_spacing, -0.070, identity.eye_tilt
    half = 0.133 * size
    upper = 0.062 * size * (1 + 0.62 * au5) * (1 - 0.16 * au6) * (1 - 0.24 * au7)
    upper += closed * (-0.016 - upper)
    lower = 0.039 * size * (1 - 0.62 * min(au6, 1.1)) * (1 - 0.42 * au7) * (1 - 0.35 * closed)
    return [
        (sign * (centre - half), line + tilt),
        (sign * (centre - 0.38 * half), line - 0.96 * upper),
        (sign * (centre + 0.38 * half), line - upper - 0.5 * tilt),
        (sign * (centre + half), line - tilt),
        (sign * (centre + 0.40 * half), line + lower - 0.4 * tilt),
        (sign * (centre - 0.40 * half), line + 0.94 * lower),
    ]


# Shares of the half width of the mouth, and how full the lip is there.
_UPPER_LIP = ((-1.0, 0.0), (-0.58, 0.66), (-0.21, 1.0), (0.0, 0.84), (0.21, 1.0), (0.58, 0.66), (1.0, 0.0))
_LOWER_LIP = ((0.64, 0.62), (0.32, 0.95), (0.0, 1.0), (-0.32, 0.95), (-0.64, 0.62))


def _mouth(identity: Identity, au: list[float], left: list[float], right: list[float]) -> list[tuple[float, float]]:
    """Outer (12) and inner (8) edge of the lips; ``left`` and ``right`` are the action units of the two sides."""
    au10, au12, au15, au17, au20, au23, au25, au26 = au[7:15]
    line = 0.575 + 0.35 * (identity.nose_length - 0.345)
    part = min(1.6 * au25 + 2 * au26 + 0.9 * au10, 1.0)
    half = identity.mouth_width * (1 + 0.34 * au12) * (1 + 0.30 * au20) * (1 - 0.14 * au23) * (1 - 0.16 * au26)
    thin = (1 - 0.22 * au12) * (1 - 0.18 * au20) * (1 - 0.45 * au23)
    ends = [
        line + identity.mouth_corner - 0.090 * au[8] + 0.088 * au[9] + 0.018 * au[11] + 0.045 * au[14]
        for au in (left, right)
    ]
    middle = line + 0.022 * au12 - (0.020 + 0.015 * au15) * au17 * (1 - part)
    top = middle - 0.018 * part - 0.050 * au10 - 0.016 * au12 * part - 0.010 * au26
    low = middle + 0.018 * part + 0.20 * au26 + 0.020 * au20 * part
    roundness = 2.0 + 0.5 * min(au26, 1.0)

    def edge(share: float, centre: float, power: float) -> float:
        """Height of the edge of a lip at ``share`` of the half width."""
        return centre + (ends[share > 0] - centre) * math.pow(abs(share), power)

    outer = [(half * s, edge(s, top, 2.0) - identity.upper_lip * thin * full) for s, full in _UPPER_LIP]
    outer += [(half * s, edge(s, low, roundness) + identity.lower_lip * thin * full) for s, full in _LOWER_LIP]
    inner = [
        (half * s, edge(s, 0.5 * (top + low) if abs(s) > 0.5 else top, 2.0)) for s in (-0.88, -0.36, 0.0, 0.36, 0.88)
    ]
    inner += [(half * s, edge(s, low, roundness)) for s in (0.36, 0.0, -0.36)]
    return outer + inner


def landmarks(identity: Identity, intensities: Array, asymmetry: float = 0.0) -> Array:
    """The 68 canonical landmarks (68, 2) of a person who shows the given action units.

    Args:
        identity: Who it is.
        intensities: Action units (16,) in the order of `ACTION_UNITS`, about [0, 1].
        asymmetry: Share by which the image-right half shows more (and the left half less) than the mean.
    """
    au = intensities.tolist()
    left, right = ([min(max(i * (1 + sign * 0.5 * asymmetry), 0.0), 1.3) for i in au] for sign in (-1, 1))
    au9, au10, au12, au17, au26 = au[6], au[7], au[8], au[10], au[14]

    x, y, depth, cheek = _jaw(identity)
    jaw = np.empty((17, 2))
    jaw[:, 0] = x * (1 - 0.05 * au26 * depth**2 + 0.02 * au12 * cheek)
    jaw[:, 1] = y + (0.155 * au26 - 0.018 * au17 * (1 - au26)) * depth**3

    base = identity.nose_length - 0.028 * au9 - 0.012 * au10
    width = identity.nose_width * (1 + 0.14 * au9 + 0.07 * au12)
    nose = [(0.0, -0.105 + share * base) for share in (0.0, 0.36, 0.70, 1.0)]
    nose += [(-width, base - 0.030), (-0.52 * width, base - 0.004), (0.0, base + 0.010)]
    nose += [(0.52 * width, base - 0.004), (width, base - 0.030)]
    eye = _eye(identity, -1.0, left)
    return np.concatenate(
        [
            jaw,
            _brow(identity, -1.0, left)[::-1]
            + _brow(identity, 1.0, right)
            + nose
            + [eye[k] for k in (3, 2, 1, 0, 5, 4)]
            + _eye(identity, 1.0, right)
            + _mouth(identity, au, left, right),
        ]
    )
