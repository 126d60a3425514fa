"""Faces to look at on the page of a check-up."""

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from avce_pl.dataset.core.index import EXPRESSION_NAMES, LABELS, FaceIndex
from avce_pl.dataset.files.datamodule import FileDataModule
from avce_pl.dataset.files.image_files import ImageFiles

REGIONS = 5
"""Regions along each axis of the plane that a sample face is shown for."""
_SAMPLE_SIDE = 96
_SAMPLES = 5  # faces of each expression, where there are no planes


class Sample(NamedTuple):
    """A face to look at.

    Attributes:
        split: Its split.
        valence: Its valence, NaN where only the expression is known.
        arousal: Its arousal, or NaN.
        expression: Name of its expression, "" unknown.
        path: Of its image.
        jpeg: The picture.
    """

    split: str
    valence: float
    arousal: float
    expression: str
    path: str
    jpeg: bytes


def draw_samples(data: FileDataModule, index: FaceIndex, faults: NDArray[np.str_]) -> Iterator[Sample]:
    """One face per split and region of the plane, or some of each expression; the same ones every time."""
    if not (faults == "").any():
        return
    usable = index.table[faults == ""].reset_index(drop=True)
    images = ImageFiles(data.image_root, usable, _SAMPLE_SIDE, data.margin, data.cache_dir)
    order = np.random.default_rng(0).permutation(len(usable))
    mixed = usable.iloc[order].dropna(subset=LABELS)
    cells = np.clip(np.floor((mixed[LABELS] + 1) * (REGIONS / 2)), 0, REGIONS - 1).astype(int)
    chosen = mixed.groupby([mixed["split"], cells["valence"], cells["arousal"]], observed=True).head(1)
    if mixed.empty:
        chosen = usable.iloc[order].groupby(["split", "expression"], observed=True).head(_SAMPLES)
    for row, face in chosen.sort_values(["split", "expression", *LABELS]).iterrows():
        picture = cv2.cvtColor(images[int(str(row))], cv2.COLOR_RGB2BGR)
        _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])
        expression = EXPRESSION_NAMES[face["expression"]] if face["expression"] >= 0 else ""
        valence, arousal = (float(face[name]) for name in LABELS)
        yield Sample(face["split"], valence, arousal, expression, face["path"], jpeg.tobytes())
