"""Which feelings a population of pictures shows: label mixtures and the seven classes.

The mixtures mimic the *shape* of the published data sets (skew, neutral peak, quantisation) from general knowledge.
They are not fitted to them.
"""

import math
from typing import Literal

import numpy as np

LabelStyle = Literal["affectnet", "afew_va", "aff_wild", "raf_db", "uniform"]

EXPRESSIONS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger")
"""The seven classes; the position is the AffectNet code."""

PROTOTYPES = ((0.0, 0.0), (0.75, 0.28), (-0.68, -0.38), (0.15, 0.82), (-0.42, 0.80), (-0.78, 0.30), (-0.65, 0.62))
"""(valence, arousal) of each class, in the order of `EXPRESSIONS`."""

NEUTRAL_RADIUS = 0.2

_RAF_PRIOR = np.cumsum([2524, 4772, 1982, 1290, 281, 717, 705]) / 12271

# weight, mean valence, mean arousal, sd valence, sd arousal
_MIXTURES: dict[str, tuple[tuple[float, float, float, float, float], ...]] = {
    "affectnet": (
        (0.22, 0.0, 0.02, 0.09, 0.08),
        (0.42, 0.66, 0.19, 0.17, 0.19),
        (0.05, 0.55, -0.38, 0.20, 0.18),
        (0.09, 0.18, 0.71, 0.17, 0.14),
        (0.04, -0.40, 0.72, 0.15, 0.12),
        (0.09, -0.64, 0.55, 0.14, 0.16),
        (0.09, -0.66, -0.26, 0.17, 0.20),
    ),
    "afew_va": (
        (0.42, 0.0, 0.0, 0.05, 0.05),
        (0.18, 0.34, 0.20, 0.18, 0.18),
        (0.20, -0.30, 0.34, 0.18, 0.22),
        (0.20, 0.01, 0.20, 0.27, 0.30),
    ),
    "aff_wild": (
        (0.50, 0.06, 0.07, 0.12, 0.14),
        (0.25, 0.40, 0.34, 0.20, 0.27),
        (0.14, -0.32, 0.36, 0.22, 0.28),
        (0.11, 0.08, -0.24, 0.25, 0.25),
    ),
}
_CUMULATIVE = {name: np.cumsum([row[0] for row in rows]) for name, rows in _MIXTURES.items()}


def classify(valence: float, arousal: float) -> int:
    """AffectNet code of the class a feeling belongs to.

    Neutral within `NEUTRAL_RADIUS` of the origin, otherwise the nearest of the six other `PROTOTYPES`.
    """
    if valence**2 + arousal**2 < NEUTRAL_RADIUS**2:
        return 0
    return min(range(1, 7), key=lambda k: math.hypot(valence - PROTOTYPES[k][0], arousal - PROTOTYPES[k][1]))


def sample_labels(rng: np.random.Generator, style: LabelStyle) -> tuple[float, float]:
    """One (valence, arousal) in the unit disc.

    ``raf_db`` draws a class by the prior of RAF-DB and then a point near its prototype that `classify` puts into that
    class; ``uniform`` covers the disc evenly; the others are Gaussian mixtures.
    """
    if style == "uniform":
        radius, angle = np.sqrt(rng.random()), 2 * np.pi * rng.random()
        return float(radius * np.cos(angle)), float(radius * np.sin(angle))
    if style == "raf_db":
        code = int(np.searchsorted(_RAF_PRIOR, rng.random()))
        spread = 0.06 if code == 0 else 0.12
        while True:
            valence, arousal = (PROTOTYPES[code] + spread * rng.standard_normal(2)).tolist()
            if valence**2 + arousal**2 <= 1 and classify(valence, arousal) == code:
                return valence, arousal
    rows, cumulative = _MIXTURES[style], _CUMULATIVE[style]
    _, mean_v, mean_a, sd_v, sd_a = rows[int(np.searchsorted(cumulative, rng.random() * cumulative[-1]))]
    while True:
        z = rng.standard_normal(2)
        valence, arousal = float(mean_v + sd_v * z[0]), float(mean_a + sd_a * z[1])
        if valence**2 + arousal**2 <= 1:
            return valence, arousal
