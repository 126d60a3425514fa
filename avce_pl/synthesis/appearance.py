"""Who somebody is: the fixed shape, colours, hair and habits of one synthetic person."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_T = TypeVar("_T")
Colour = tuple[float, float, float]
HairStyle = Literal[
    "bald",
    "receding",
    "buzz",
    "side_part",
    "swept",
    "fringe",
    "bob",
    "long",
    "wavy",
    "curly",
    "afro",
    "bun",
    "beanie",
    "scarf",
]
Beard = Literal["none", "stubble", "moustache", "goatee", "full"]
Glasses = Literal["none", "round", "square", "oval", "sun"]

SKIN: tuple[Colour, ...] = (
    (238, 208, 190),
    (234, 198, 174),
    (228, 186, 156),
    (218, 172, 138),
    (204, 155, 119),
    (187, 136, 100),
    (166, 115, 82),
    (142, 95, 67),
    (120, 79, 57),
    (102, 68, 52),
)
"""Ten skin tones, light to dark, RGB."""

HAIR: tuple[Colour, ...] = (
    (24, 20, 20),
    (36, 27, 24),
    (52, 36, 28),
    (74, 48, 32),
    (98, 64, 40),
    (126, 86, 52),
    (164, 122, 74),
    (204, 166, 110),
    (140, 66, 34),
    (128, 126, 126),
    (206, 204, 202),
)
"""Black to blond, red, grey, white, RGB."""

DYED: tuple[Colour, ...] = ((150, 48, 96), (64, 84, 150), (58, 128, 116), (186, 92, 130), (112, 66, 142))

EYE: tuple[Colour, ...] = (
    (62, 38, 24),
    (84, 52, 30),
    (118, 80, 44),
    (112, 104, 58),
    (84, 112, 78),
    (84, 120, 150),
    (112, 128, 138),
)
"""Dark brown, brown, amber, hazel, green, blue, grey, RGB."""

CLOTH: tuple[Colour, ...] = (
    (46, 58, 84),
    (92, 42, 48),
    (58, 84, 74),
    (120, 116, 112),
    (34, 34, 40),
    (176, 150, 112),
    (142, 92, 70),
    (206, 202, 194),
    (82, 96, 124),
    (104, 80, 112),
)

_SHORT: tuple[HairStyle, ...] = ("bald", "receding", "buzz", "side_part", "swept", "fringe", "curly", "afro")
_SHORT_WEIGHTS = np.cumsum([0.07, 0.10, 0.15, 0.26, 0.20, 0.08, 0.09, 0.05])
_LONG: tuple[HairStyle, ...] = ("fringe", "bob", "long", "wavy", "curly", "afro", "bun")
_LONG_WEIGHTS = np.cumsum([0.06, 0.20, 0.25, 0.17, 0.10, 0.06, 0.16])
_TRUNCATION = 2.2
_REST = np.array([1, 1, 1, 1, 1, 1, 1, 0.6, 1, 1, 1, 0.6, 1, 0.3, 0.3, 0.5])


@dataclass(frozen=True, eq=False)
class Identity:
    """One person. Lengths are in canonical head units, colours RGB in 0-255, directions image-wise.

    ``gains``, ``tonus`` and the ``*_habit`` fields are what makes a stranger hard to read: how strongly each
    action unit follows the feeling, what the face does at rest, and which variant of a display the person uses.
    """

    seed: int
    subject: int
    half_width: float
    jaw: float
    chin_width: float
    chin: float
    eye_spacing: float
    eye_size: float
    eye_tilt: float
    brow_height: float
    brow_arch: float
    brow_tilt: float
    brow_thickness: float
    nose_width: float
    nose_length: float
    nose_height: float
    mouth_width: float
    upper_lip: float
    lower_lip: float
    mouth_corner: float
    cheek: float
    skin: Colour
    hair: Colour
    brow: Colour
    iris: Colour
    lip: Colour
    cloth: Colour
    make_up: float
    freckles: float
    age: float
    hair_style: HairStyle
    hair_volume: float
    parting: float
    beard: Beard
    glasses: Glasses
    frame: Colour
    earrings: bool
    gains: Array
    tonus: Array
    open_anger_habit: float
    teeth_habit: float
    duchenne_habit: float


def _pick(rng: np.random.Generator, options: tuple[_T, ...], cumulative: Array) -> _T:
    """One of ``options``, whose cumulative weights are given."""
    return options[min(int(np.searchsorted(cumulative, rng.random() * cumulative[-1])), len(options) - 1)]


def mix(a: Colour, b: Colour, t: float) -> Colour:
    """The colour ``t`` of the way from ``a`` to ``b``."""
    return (a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]), a[2] + t * (b[2] - a[2]))


def luminance(colour: Colour) -> float:
    """Luma of an RGB colour, 0-255."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def _between(ramp: tuple[Colour, ...], position: float) -> Colour:
    """The colour at ``position`` in [0, len(ramp) - 1] of a ramp, linearly interpolated."""
    low = min(int(position), len(ramp) - 2)
    return mix(ramp[low], ramp[low + 1], position - low)


@lru_cache(maxsize=256)
def sample_identity(seed: int, subject: int) -> Identity:
    """The person number ``subject`` of the population ``seed``.

    The person depends on ``default_rng([seed, subject])`` alone. Lengths are Gaussian, truncated at 2.2 standard
    deviations.
    """
    rng = np.random.default_rng([seed, subject])
    z = np.clip(rng.standard_normal(24), -_TRUNCATION, _TRUNCATION).tolist()
    tone = rng.uniform(0, len(SKIN) - 1)
    warm = 3.0 * z[20]
    skin = _between(SKIN, tone)
    skin = (skin[0] + 0.4 * warm, skin[1], skin[2] - warm)

    long_hair = rng.random() < 0.5
    style = _pick(rng, _LONG, _LONG_WEIGHTS) if long_hair else _pick(rng, _SHORT, _SHORT_WEIGHTS)
    headwear = rng.random()
    if headwear < 0.06:
        style = "scarf" if long_hair else "beanie"

    age = float(np.clip(rng.beta(1.5, 2.2), 0, 1))
    hair = HAIR[int(rng.integers(0, 3 if tone > 6 else 9))]
    if rng.random() < 1.6 * (age - 0.45):
        hair = mix(hair, HAIR[10 if rng.random() < 0.5 else 9], rng.uniform(0.55, 1.0))
    if rng.random() < 0.04:
        hair = DYED[int(rng.integers(len(DYED)))]
    hair = mix(hair, (hair[0] * 1.15, hair[1] * 1.08, hair[2]), rng.random())
    # Brows must stay readable on every skin: they are what anger, fear and sadness are told by.
    brow = mix(hair, (40, 28, 24), 0.45)
    ceiling = 0.56 * luminance(skin)
    if luminance(brow) > ceiling:
        brow = mix((0, 0, 0), brow, ceiling / luminance(brow))

    beards: tuple[Beard, ...] = ("none", "stubble", "moustache", "goatee", "full")
    beard = "none" if long_hair else _pick(rng, beards, np.cumsum([0.46, 0.2, 0.09, 0.1, 0.15]))
    glasses: Glasses = "none"
    if rng.random() < 0.2:
        frames: tuple[Glasses, ...] = ("round", "square", "oval", "sun")
        glasses = _pick(rng, frames, np.cumsum([3, 3, 2, 1]) / 9)
    frame_colours: tuple[Colour, ...] = ((28, 26, 28), (72, 44, 28), (150, 30, 36), (120, 122, 128), (38, 52, 92))
    lip_tint = mix((190, 84, 82), (140, 66, 64), tone / 9)
    make_up = float(rng.uniform(0.3, 1.0)) if long_hair and rng.random() < 0.65 else 0.0
    lip = mix(skin, lip_tint, 0.62)
    if make_up > 0:
        lipsticks: tuple[Colour, ...] = ((178, 40, 60), (196, 84, 96), (150, 36, 52), (206, 96, 84), (136, 52, 74))
        lip = mix(lip, lipsticks[int(rng.integers(len(lipsticks)))], 0.75 * make_up)

    return Identity(
        seed=seed,
        subject=subject,
        half_width=0.70 + 0.032 * z[0] - (0.015 if long_hair else 0.0),
        jaw=2.15 + 0.16 * z[1] + (-0.12 if long_hair else 0.10),
        chin_width=1.0 + 0.10 * z[2],
        chin=0.96 + 0.030 * z[3],
        eye_spacing=0.300 + 0.015 * z[4],
        eye_size=1.08 + 0.07 * z[5] + (0.06 if long_hair else 0.0),
        eye_tilt=0.010 + 0.010 * z[6],
        brow_height=0.016 * z[7],
        brow_arch=1.0 + 0.28 * z[8] + (0.15 if long_hair else -0.15),
        brow_tilt=0.012 * z[9],
        brow_thickness=float(np.exp(0.18 * z[10])) * (0.82 if long_hair else 1.12),
        nose_width=0.118 + 0.011 * z[11] + 0.0018 * (tone - 4) - (0.006 if long_hair else 0.0),
        nose_length=0.345 + 0.018 * z[12],
        nose_height=1.0 + 0.16 * z[13],
        mouth_width=0.254 + 0.015 * z[14],
        upper_lip=(0.052 + 0.008 * z[15]) * (1.0 + 0.02 * (tone - 4)),
        lower_lip=(0.072 + 0.009 * z[16]) * (1.0 + 0.02 * (tone - 4)),
        mouth_corner=-0.004 + 0.007 * z[17],
        cheek=1.0 + 0.25 * z[18],
        skin=skin,
        hair=hair,
        brow=brow,
        iris=EYE[int(rng.integers(0, 3 if tone > 5.5 else 7))],
        lip=lip,
        cloth=CLOTH[int(rng.integers(len(CLOTH)))],
        make_up=make_up,
        freckles=float(rng.uniform(0.4, 1.0)) if tone < 4 and rng.random() < 0.22 else 0.0,
        age=age,
        hair_style=style,
        hair_volume=1.0 + 0.18 * z[19],
        parting=float(rng.choice([-1.0, 1.0])) * float(rng.uniform(0.15, 0.32)),
        beard=beard,
        glasses=glasses,
        frame=frame_colours[int(rng.integers(len(frame_colours)))],
        earrings=bool(long_hair and rng.random() < 0.4),
        gains=(1 + 0.12 * z[21]) * np.clip(1 + 0.18 * rng.standard_normal(16), 0.4, 1.6),
        # At rest, mouths are closed and eyes open.
        tonus=np.minimum(np.abs(0.10 * rng.standard_normal(16)), 0.35) * _REST,
        open_anger_habit=float(rng.random()),
        teeth_habit=float(rng.random()),
        duchenne_habit=float(rng.uniform(0.6, 1.2)),
    )
