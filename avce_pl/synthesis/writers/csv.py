"""The CSV lists that AVCE, CAF and FER-Zoo read."""

import csv
import unicodedata
from collections.abc import Collection
from pathlib import Path
from typing import Literal

from avce_pl.synthesis.face import FaceStyle
from avce_pl.synthesis.renderer import draw
from avce_pl.synthesis.writers.base import IMAGE_FAULTS, Injected, damage, pictures, save_image, take

FAULTS = IMAGE_FAULTS | {
    "sentinels": "rows whose labels are -2 (AffectNet) and -5 (Aff-Wild2), which mean that there is none",
    "label_out_of_range": "a valence of 7, as on the scale from -10 to 10",
    "bad_label": "an arousal that is no number",
    "duplicate_row": "a line stands in the list twice",
    "overlap": "a training image is listed for validation too",
    "no_negative": "no arousal is negative, as on a scale from 0 to 1",
    "one_value": "most rows have the same valence",
    "decomposed_name": "the accents of a file's name are decomposed, as on a Mac, and composed in the list",
}

_AXES = {"no_negative": "arousal", "one_value": "valence"}
"""Faults of a whole axis."""

_LISTS = {
    "avce": {"train": "training_list.csv", "val": "validation_list.csv", "test": "test_list.csv"},
    "fer_zoo": {"train": "training.csv", "val": "validation.csv", "test": "test.csv"},
}


def write(
    folder: Path,
    train: int = 200,
    val: int = 50,
    test: int = 0,
    size: int = 224,
    seed: int = 0,
    style: FaceStyle = FaceStyle(),  # noqa: B008
    faults: Collection[str] = (),
    layout: Literal["avce", "fer_zoo"] = "avce",
) -> list[Injected]:
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
        faults: Names from `FAULTS`.
        layout: Names of the lists and root of the paths.

    Returns:
        The faults put in.
    """
    lists: dict[str, list[list[str]]] = {}
    for split, count in {"train": train, "val": val, "test": test}.items():
        if not count:
            continue
        lists[split] = []
        for number, subject, index in pictures(split, count):
            face, rendered = draw(seed, subject, index, size, style)
            name = f"{number:06d}.{'jpg' if number % 2 else 'png'}"
            save_image(folder / split / name, rendered.image)
            path = f"{split}/{name}" if layout == "avce" else name
            lists[split].append([path, *(f"{value:.3f}" for value in face.label)])
    listed = [row for rows in lists.values() for row in rows]
    for row in listed:
        if "no_negative" in faults:
            row[2] = f"{(float(row[2]) + 1) / 2:.3f}"
    for row in listed[: len(listed) * 3 // 4]:
        if "one_value" in faults:
            row[1] = "0.000"
    injected = [Injected(kind, axis, FAULTS[kind]) for kind, axis in _AXES.items() if kind in faults]
    images = iter([f"train/{Path(row[0]).name}" for row in lists["train"]])
    rows = {row[0]: row for row in lists["train"]}

    def inject(kind: str, valence: str | None = None, arousal: str | None = None) -> None:
        row = rows[take(images)]
        row[1:] = [valence or row[1], arousal or row[2]]
        injected.append(Injected(kind, row[0], f"valence {row[1]}, arousal {row[2]}"))

    if "sentinels" in faults:
        inject("sentinels", "-2", "-2")
        inject("sentinels", "-5", "-5")
    if "label_out_of_range" in faults:
        inject("label_out_of_range", valence="7")
    if "bad_label" in faults:
        inject("bad_label", arousal="calm")
    if "duplicate_row" in faults:
        row = rows[take(images)]
        lists["train"].append(row)
        injected.append(Injected("duplicate_row", row[0], f"is also line {len(lists['train']) + 1} of the list"))
    if "overlap" in faults:
        row = rows[take(images)]
        lists["val"].append(row)
        injected.append(Injected("overlap", row[0], f"is also line {len(lists['val']) + 1} of the validation list"))
    if "decomposed_name" in faults:
        path = take(images)
        name = f"Zo\u00eb {Path(path).name}"
        (folder / path).rename(folder / "train" / unicodedata.normalize("NFD", name))
        rows[path][0] = f"train/{name}" if layout == "avce" else name
        injected.append(Injected("decomposed_name", f"train/{name}", "has another form of e with two dots"))
    for split, rows_of_split in lists.items():
        with (folder / _LISTS[layout][split]).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["subDirectory_filePath", "valence", "arousal"], *rows_of_split])
    return injected + damage(folder, images, faults)
