"""Procedural faces in the layouts of real data sets, to try readers and programs on."""

import csv
from pathlib import Path
from typing import Literal

import cv2

from avce_pl.synthesis.face import FaceStyle
from avce_pl.synthesis.renderer import draw

FIRST_SUBJECT = {"train": 0, "val": 100_000, "test": 200_000}
"""People are numbered; these ranges keep those of the splits apart."""

_LISTS = {
    "avce": {"train": "training_list.csv", "val": "validation_list.csv", "test": "test_list.csv"},
    "fer_zoo": {"train": "training.csv", "val": "validation.csv", "test": "test.csv"},
}


def write_csv(
    folder: Path,
    train: int = 200,
    val: int = 50,
    test: int = 0,
    size: int = 224,
    seed: int = 0,
    style: FaceStyle = FaceStyle(),  # noqa: B008
    layout: Literal["avce", "fer_zoo"] = "avce",
) -> None:
    """Writes faces as the CSV layout that AVCE, CAF and FER-Zoo read.

    Images go to ``train/``, ``val/`` and ``test/``, five per person, JPEG and PNG in turn. Under "avce" the
    lists are ``training_list.csv`` and so on with paths from the folder; under "fer_zoo" ``training.csv`` and
    so on with paths from the split's own folder. Columns: subDirectory_filePath, valence, arousal.

    Args:
        folder: Where to; made if it is not there.
        train: Number of training images.
        val: Number of validation images, of other people.
        test: Number of test images, of yet others; 0 writes no list.
        size: Side of the images in pixels.
        seed: Which population of people.
        style: What the faces look like.
        layout: Names of the lists and root of the paths.
    """
    for split, count in {"train": train, "val": val, "test": test}.items():
        if not count:
            continue
        (folder / split).mkdir(parents=True, exist_ok=True)
        with (folder / _LISTS[layout][split]).open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["subDirectory_filePath", "valence", "arousal"])
            for number in range(count):
                face, rendered = draw(seed, FIRST_SUBJECT[split] + number // 5, number % 5, size, style)
                name = f"{number:06d}.{'jpg' if number % 2 else 'png'}"
                cv2.imwrite(str(folder / split / name), cv2.cvtColor(rendered.image, cv2.COLOR_RGB2BGR))
                path = f"{split}/{name}" if layout == "avce" else name
                rows.writerow([path, *(f"{value:.3f}" for value in face.label)])
