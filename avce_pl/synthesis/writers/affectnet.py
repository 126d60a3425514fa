"""AffectNet's two releases: the CSV lists of 2017 and the npy files of 2021."""

import csv
import hashlib
from collections.abc import Collection
from pathlib import Path

import numpy as np

from avce_pl.errors import AvceError
from avce_pl.synthesis.face import Face, FaceStyle
from avce_pl.synthesis.renderer import draw
from avce_pl.synthesis.writers.base import FIRST_SUBJECT, IMAGE_FAULTS, Injected, damage, pictures, save_image, take

_SHARED_FAULTS = IMAGE_FAULTS | {
    "nested": "unpacked into folders of the same names",
    "label_out_of_range": "a valence of 1.25",
    "bad_label": "a valence that is no number",
}
FAULTS_2017 = _SHARED_FAULTS | {
    "sentinels": "rows of the classes Uncertain and Non-Face, and one of another, with valence and arousal -2",
    "headerless": "validation.csv without its first line",
    "box_outside": "a face box beside the image",
    "negative_box": "a face box of width -1",
    "bad_landmarks": "135 numbers for 68 landmarks",
    "duplicate_row": "a line stands in the list twice",
    "overlap": "a training image is listed for validation too",
}
FAULTS_2021 = _SHARED_FAULTS | {
    "missing_label": "an image has no arousal file",
    "truncated_label": "a label file ends in the middle",
    "pickled_label": "a label file that numpy could only read by executing it",
    "overlap": "a validation image holds the same bytes as a training image",
}

COLUMNS_2017 = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)
_LISTS_2017 = {"train": "training.csv", "val": "validation.csv"}
_SUFFIXES = ("jpg", "JPG", "png", "jpeg", "jpg", "bmp", "PNG", "tif", "jpg", "TIF")
_IMAGES_PER_FOLDER = 8
_CONTEMPT, _NONE, _UNCERTAIN, _NON_FACE = 7, 8, 9, 10


def expression_2017(face: Face) -> int:
    """AffectNet code 0 to 8 of a face: its class, but Contempt for mild disgust and None for the faintest feelings."""
    strength = np.hypot(face.valence, face.arousal)
    if face.expression == 5 and strength < 0.7:
        return _CONTEMPT
    return _NONE if face.expression and strength < 0.3 else face.expression


def write_2017(
    folder: Path,
    train: int = 200,
    val: int = 50,
    test: int = 0,
    size: int = 320,
    seed: int = 0,
    style: FaceStyle = FaceStyle(crop=0.75),  # noqa: B008
    faults: Collection[str] = (),
) -> list[Injected]:
    """Writes photos with faces in them as the release of 2017.

    ``Manually_Annotated/Manually_Annotated_Images/<number>/<56 hex digits>.<suffix>``, photos of several formats and
    shapes, larger than the face; ``Manually_Annotated_file_lists/training.csv`` and ``validation.csv`` with box,
    landmarks, expression (0 to 8), valence and arousal.

    Args:
        folder: Where to; made if it is not there.
        train: Number of training images.
        val: Number of validation images, of other people.
        test: Must be 0: no test images were released.
        size: Longest possible side of a photo in pixels.
        seed: Which population of people.
        style: What the photos look like.
        faults: Names from `FAULTS_2017`.

    Returns:
        The faults put in.
    """
    _no_test(test)
    base = Path("Manually_Annotated", "Manually_Annotated_Images")
    injected = []
    if "nested" in faults:
        base /= base.name
        injected.append(Injected("nested", base.as_posix(), "the images are one folder deeper"))
    rng = np.random.default_rng([seed, train, val])
    lists: dict[str, list[dict[str, str]]] = {"train": [], "val": []}
    for split, count in (("train", train), ("val", val)):
        for number, subject, index in pictures(split, count):
            face, rendered = draw(seed, subject, index, size, style)
            name = hashlib.sha224(f"{seed}/{split}/{number}".encode()).hexdigest()
            path = f"{number // _IMAGES_PER_FOLDER + 1}/{name}.{_SUFFIXES[number % len(_SUFFIXES)]}"
            height, width = size - rng.integers(size // 8, size=2)
            photo = rendered.image[:height, :width]
            save_image(folder / base / path, photo)
            x, y, w, h = rendered.box
            side = 1.2 * max(w, h)
            left, top = max(round(x + (w - side) / 2), 0), max(round(y + (h - side) / 2), 0)
            values = (
                path,
                left,
                top,
                min(round(side), width - left),
                min(round(side), height - top),
                ";".join(f"{value:.2f}" for value in rendered.landmarks.ravel()),
                expression_2017(face),
                f"{face.label[0]:.6g}",
                f"{face.label[1]:.6g}",
            )
            lists[split].append(dict(zip(COLUMNS_2017, map(str, values), strict=True)))
    rows = {row["subDirectory_filePath"]: row for row in lists["train"]}
    images = iter(rows)

    def inject(kind: str, **cells: object) -> None:
        row = rows[take(images)]
        row.update({name: str(value) for name, value in cells.items()})
        detail = ", ".join(f"{name} {value}" for name, value in cells.items())
        injected.append(Injected(kind, (base / row["subDirectory_filePath"]).as_posix(), detail))

    if "sentinels" in faults:
        inject("sentinels", expression=_UNCERTAIN, valence=-2, arousal=-2)
        inject("sentinels", expression=_NON_FACE, valence=-2, arousal=-2)
        inject("sentinels", valence=-2, arousal=-2)
    if "label_out_of_range" in faults:
        inject("label_out_of_range", valence=1.25)
    if "bad_label" in faults:
        inject("bad_label", valence="happy")
    if "box_outside" in faults:
        inject("box_outside", face_x=3 * size)
    if "negative_box" in faults:
        inject("negative_box", face_width=-1)
    if "bad_landmarks" in faults:
        row = rows[take(images)]
        row["facial_landmarks"] = row["facial_landmarks"].rpartition(";")[0]
        injected.append(
            Injected("bad_landmarks", (base / row["subDirectory_filePath"]).as_posix(), "has 135 numbers for landmarks")
        )
    for kind, split in (("duplicate_row", "train"), ("overlap", "val")):
        if kind in faults:
            row = rows[take(images)]
            lists[split].append(row)
            detail = f"is also in line {len(lists[split]) + 1} of {_LISTS_2017[split]}"
            injected.append(Injected(kind, (base / row["subDirectory_filePath"]).as_posix(), detail))
    labels = folder / "Manually_Annotated_file_lists"
    labels.mkdir(parents=True)
    for split, listed in lists.items():
        with (labels / _LISTS_2017[split]).open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, COLUMNS_2017)
            if split == "val" and "headerless" in faults:
                path = f"{labels.name}/{_LISTS_2017[split]}"
                injected.append(Injected("headerless", path, "begins with the first image"))
            else:
                table.writeheader()
            table.writerows(listed)
    return injected + damage(folder, ((base / image).as_posix() for image in images), faults)


def write_2021(
    folder: Path,
    train: int = 200,
    val: int = 50,
    test: int = 0,
    size: int = 224,
    seed: int = 0,
    style: FaceStyle = FaceStyle(),  # noqa: B008
    faults: Collection[str] = (),
) -> list[Injected]:
    """Writes face crops as the release of 2021.

    ``train_set/`` and ``val_set/`` with ``images/<id>.jpg`` and ``annotations/<id>_{exp,val,aro,lnd}.npy``. Labels
    are arrays of one unicode string, landmarks 136 floats. Ids leave gaps and stand for other images in the other
    split. Expressions are 0 to 7.

    Args:
        folder: Where to; made if it is not there.
        train: Number of training images.
        val: Number of validation images, of other people.
        test: Must be 0: no test images were released.
        size: Side of the images in pixels.
        seed: Which population of people.
        style: What the faces look like.
        faults: Names from `FAULTS_2021`.

    Returns:
        The faults put in.
    """
    _no_test(test)
    injected = []
    homes = {"train": folder / "train_set", "val": folder / "val_set"}
    if "nested" in faults:
        homes = {split: home / home.name for split, home in homes.items()}
        injected.append(Injected("nested", "train_set/train_set", "one folder deeper, and so is val_set"))
    ids: dict[str, list[int]] = {}
    for split, count in (("train", train), ("val", val)):
        annotations = homes[split] / "annotations"
        annotations.mkdir(parents=True)
        gaps = np.random.default_rng([seed, FIRST_SUBJECT[split]]).integers(1, 4, count)
        ids[split] = [0, *np.cumsum(gaps).tolist()][:count]
        for number, subject, index in pictures(split, count):
            name = ids[split][number]
            face, rendered = draw(seed, subject, index, size, style)
            save_image(homes[split] / "images" / f"{name}.jpg", rendered.image)
            np.save(annotations / f"{name}_exp.npy", np.array(str(expression_2021(face))))
            np.save(annotations / f"{name}_val.npy", np.array(f"{face.label[0]:.6g}"))
            np.save(annotations / f"{name}_aro.npy", np.array(f"{face.label[1]:.6g}"))
            np.save(annotations / f"{name}_lnd.npy", rendered.landmarks.astype(np.float64).ravel())
    images = iter([(homes["train"] / f"images/{name}.jpg").relative_to(folder).as_posix() for name in ids["train"]])

    def labels(image: str, kind: str) -> Path:
        return homes["train"] / f"annotations/{Path(image).stem}_{kind}.npy"

    def inject(kind: str, path: Path, detail: str) -> None:
        injected.append(Injected(kind, path.relative_to(folder).as_posix(), detail))

    if "label_out_of_range" in faults:
        path = labels(take(images), "val")
        np.save(path, np.array("1.25"))
        inject("label_out_of_range", path, "holds 1.25")
    if "bad_label" in faults:
        path = labels(take(images), "val")
        np.save(path, np.array("happy"))
        inject("bad_label", path, "holds 'happy'")
    if "missing_label" in faults:
        path = labels(take(images), "aro")
        path.unlink()
        inject("missing_label", path, "is not there")
    if "truncated_label" in faults:
        path = labels(take(images), "aro")
        path.write_bytes(path.read_bytes()[:60])
        inject("truncated_label", path, "ends after 60 bytes")
    if "pickled_label" in faults:
        path = labels(take(images), "exp")
        np.save(path, np.array({"expression": 1}), allow_pickle=True)
        inject("pickled_label", path, "holds a Python object")
    if "overlap" in faults:
        source = folder / take(images)
        path = homes["val"] / "images" / f"{ids['val'][0]}.jpg"
        path.write_bytes(source.read_bytes())
        inject("overlap", path, f"the same bytes as {source.relative_to(folder).as_posix()}")
    return injected + damage(folder, images, faults)


def expression_2021(face: Face) -> int:
    """AffectNet code 0 to 7 of a face: its class, but Contempt for mild disgust."""
    code = expression_2017(face)
    return face.expression if code == _NONE else code


def _no_test(test: int) -> None:
    if test:
        raise AvceError(f"AffectNet has no test images, so {test} cannot be written; give 0.")
