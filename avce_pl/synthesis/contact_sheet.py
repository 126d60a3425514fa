"""The picture that introduces the synthetic faces."""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import cv2
import numpy as np
from numpy.typing import NDArray

from avce_pl.synthesis.appearance import sample_identity
from avce_pl.synthesis.expression import ANCHORS
from avce_pl.synthesis.face import Face
from avce_pl.synthesis.nuisance import sample_nuisance
from avce_pl.synthesis.renderer import render

Bytes = NDArray[np.uint8]

NAMED = ("happy", "surprised", "afraid", "angry", "sad", "calm", "sleepy")
"""Columns of the lower part."""

_PAPER, _INK, _GREY = (250, 249, 247), (34, 36, 40), (110, 114, 120)
_VALENCE = (-0.9, -0.6, -0.3, 0.0, 0.3, 0.6, 0.9)
_CROP = 1.06
_AROUSAL = (0.8, 0.4, 0.0, -0.4, -0.8)


def _text(
    image: Bytes, text: str, x: float, y: float, height: float, colour: tuple[int, int, int], centre: bool
) -> None:
    """Write ``text`` with its baseline at y; ``height`` is that of a capital in pixels."""
    scale = height / 21.0
    thickness = max(1, round(height / 8))
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    left = x - width / 2 if centre else x
    cv2.putText(image, text, (round(left), round(y)), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thickness, cv2.LINE_AA)


def _tile(image: Bytes, caption: str) -> Bytes:
    """A picture with a caption below it and a margin around both."""
    size = len(image)
    strip = max(14, round(0.14 * size))
    tile = np.full((size + strip, size + 4, 3), _PAPER, np.uint8)
    tile[:size, 2:-2] = image
    _text(tile, caption, tile.shape[1] / 2, size + 0.70 * strip, 0.42 * strip, _GREY, centre=True)
    return tile


def _heading(text: str, note: str, width: int, size: int) -> Bytes:
    """A line of text above a block of pictures."""
    strip = np.full((max(30, round(0.30 * size)), width, 3), _PAPER, np.uint8)
    height = len(strip)
    _text(strip, text, 6, 0.48 * height, 0.28 * height, _INK, centre=False)
    _text(strip, note, 6, 0.84 * height, 0.18 * height, _GREY, centre=False)
    return strip


def _people(seed: int) -> Iterator[int]:
    """Subjects without dark glasses."""
    return (subject for subject in count() if sample_identity(seed, subject).glasses != "sun")


def contact_sheet(size: int = 144, rows: int = 4, seed: int = 0) -> Bytes:
    """One person over the valence/arousal plane; below, named expressions on ``rows`` people each; uint8 RGB.

    Args:
        size: Side of one face in pixels.
        rows: How many people show each named expression.
        seed: Which population the people come from.
    """
    everybody = (sample_identity(seed, subject) for subject in count())
    model = next(i.subject for i in everybody if i.beard == i.glasses == "none" and i.hair_style == "side_part")
    plane = []
    for arousal in _AROUSAL:
        line = []
        for valence in _VALENCE:
            # The corners of the grid lie outside the unit disc: pull them onto its rim.
            shrink = min(1.0, 1.0 / max(math.hypot(valence, arousal), 1e-9))
            v, a = round(valence * shrink, 2), round(arousal * shrink, 2)
            line.append(_tile(render(Face.at(seed, model, v, a, crop=_CROP), size).image, f"V {v:+.2f}  A {a:+.2f}"))
        plane.append(np.hstack(line))

    subjects, people = _people(seed), []
    for _ in range(rows):
        line = []
        for name in NAMED:
            subject = next(subjects)
            nuisance = sample_nuisance(np.random.default_rng([seed, subject, 0, 6]), 0.8)
            nuisance = replace(nuisance, occluder="none", blur=0.0, noise=0.0, downscale=1.0, jpeg=0, gray=False)
            face = Face.at(seed, subject, *ANCHORS[name][0], nuisance, _CROP)
            line.append(_tile(render(face, size).image, name))
        people.append(np.hstack(line))

    width = plane[0].shape[1]
    note = "left to right: unpleasant to pleasant; bottom to top: calm to excited"
    above = _heading("One person over the plane of valence and arousal", note, width, size)
    below = _heading(
        "Named expressions on other people", "person, pose, light and surroundings are random", width, size
    )
    return np.vstack([above, *plane, below, *people])
