"""Everything in a picture that says nothing about the feeling: pose, light, camera, what is in the way."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

OccluderKind = Literal["none", "hand", "microphone", "bar", "card"]


@dataclass(frozen=True)
class Nuisance:
    """The circumstances of one picture; the defaults are a frontal portrait in soft light.

    Attributes:
        yaw: Head turn in radians, positive to the image right.
        pitch: Nod in radians, positive downwards.
        roll: Tilt in radians, positive clockwise.
        scale: Size factor of the head.
        shift: Offset (x, y) of the face in shares of the image side.
        gaze: Direction (x, y) of the eyes, about [-1, 1].
        light_azimuth: Where the key light is, radians, positive to the image right.
        light_elevation: How high the key light is, radians.
        ambient: Strength of the light from everywhere.
        key: Strength of the key light.
        cast: Colour of the light, RGB factors about 1.
        exposure: Brightness factor of the whole picture.
        blur: Standard deviation of the lens blur in pixels of a 224-pixel image; 0 is none.
        downscale: Factor of the resolution lost, 1 is none.
        noise: Standard deviation of the sensor noise in grey levels.
        jpeg: JPEG quality; 0 is no compression.
        gray: Whether the picture is black and white.
        occluder: What is in front of the face.
        occluder_place: Four numbers in [0, 1) that place and colour it.
        background: Which background.
        grain: Seed of the noise pattern.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    gaze: tuple[float, float] = (0.0, 0.0)
    light_azimuth: float = -0.55
    light_elevation: float = 0.55
    ambient: float = 0.52
    key: float = 0.62
    cast: tuple[float, float, float] = (1.0, 1.0, 1.0)
    exposure: float = 1.0
    blur: float = 0.0
    downscale: float = 1.0
    noise: float = 0.0
    jpeg: int = 0
    gray: bool = False
    occluder: OccluderKind = "none"
    occluder_place: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    background: int = 0
    grain: int = 0


_OCCLUDERS: tuple[OccluderKind, ...] = ("hand", "microphone", "bar", "card")


def sample_nuisance(rng: np.random.Generator, level: float) -> Nuisance:
    """Random circumstances whose spread and probabilities are proportional to ``level`` (0 to 1).

    The generator is read the same number of times whatever the level.
    """
    z = [min(max(value, -2.2), 2.2) for value in rng.standard_normal(14).tolist()]
    u = rng.random(20).tolist()
    ambient = 0.52 + level * (0.30 + 0.45 * u[0] - 0.52)
    key = 0.62 + level * (0.90 + 0.35 * u[1] - 0.90 * ambient - 0.62)
    return Nuisance(
        # The warp of the renderer is one-to-one up to about .6 rad.
        yaw=min(max(0.24 * level * z[0], -0.6), 0.6),
        pitch=0.13 * level * z[1],
        roll=0.10 * level * z[2],
        scale=1 + 0.06 * level * z[3],
        shift=(0.03 * level * z[4], 0.03 * level * z[5]),
        gaze=(0.45 * level * z[6], 0.28 * level * z[7]),
        light_azimuth=1.3 * (2 * u[2] - 1),
        light_elevation=0.5 + level * (-0.25 + 1.15 * u[3] - 0.5),
        ambient=ambient,
        key=key,
        cast=(1 + 0.06 * level * z[8], 1 + 0.03 * level * z[9], 1 + 0.06 * level * z[10]),
        exposure=min(max(math.exp(0.14 * level * z[11]), 0.78), 1.2),
        blur=0.4 + u[4] if u[5] < 0.35 * level else 0.0,
        downscale=0.35 + 0.45 * u[6] if u[7] < 0.20 * level else 1.0,
        noise=2 + 10 * u[8] ** 2 if u[9] < 0.5 * level else 0.0,
        jpeg=int(22 + 58 * u[10]) if u[11] < 0.35 * level else 0,
        gray=u[12] < 0.05 * level,
        occluder=_OCCLUDERS[int(4 * u[13])] if u[14] < 0.14 * level else "none",
        occluder_place=(u[15], u[16], u[17], u[18]),
        background=int(1_000_000 * u[19]),
        grain=int(rng.integers(1 << 30)),
    )
