"""RAF-DB with basic expressions."""

from collections.abc import Collection
from pathlib import Path

from avce_pl.synthesis.face import FaceStyle
from avce_pl.synthesis.renderer import draw
from avce_pl.synthesis.writers.base import IMAGE_FAULTS, Injected, damage, pictures, save_image, take

FAULTS = IMAGE_FAULTS | {
    "nested": "unpacked into a folder of the same name",
    "label_out_of_range": "a label of 8, where 1 to 7 have a meaning",
    "bad_label": "a label that is no number",
    "duplicate_row": "a line stands in the list twice",
    "overlap": "a test image holds the same bytes as a training image",
}

CODES = (7, 4, 5, 1, 2, 3, 6)
"""RAF-DB's label of each class of `labels.EXPRESSIONS`."""

ALIGNED = 100
"""Side of RAF-DB's aligned images in pixels."""


def write(
    folder: Path,
    train: int = 200,
    val: int = 50,
    test: int = 0,
    size: int = 200,
    seed: int = 0,
    style: FaceStyle = FaceStyle(labels="raf_db"),  # noqa: B008
    faults: Collection[str] = (),
) -> list[Injected]:
    """Writes faces as RAF-DB's ``basic`` folder.

    ``EmoLabel/list_patition_label.txt`` (sic) with lines such as ``train_00001.jpg 5``;
    ``Image/original/train_00001.jpg`` of the size asked for, ``Image/aligned/train_00001_aligned.jpg`` of 100 x 100.

    Args:
        folder: Where to; made if it is not there.
        train: Number of training images.
        val: Number of test images, of other people; RAF-DB has two parts, and its second is called test.
        test: More of those.
        size: Side of the original images in pixels.
        seed: Which population of people.
        style: What the faces look like.
        faults: Names from `FAULTS`.

    Returns:
        The faults put in.
    """
    injected = []
    base = folder / "basic"
    if "nested" in faults:
        base /= "basic"
        injected.append(Injected("nested", "basic/basic", "one folder deeper"))
    lines: list[list[str]] = []
    for split, count, digits in (("train", train, 5), ("test", val + test, 4)):
        for number, subject, index in pictures(split, count):
            face, original = draw(seed, subject, index, size, style)
            name = f"{split}_{number + 1:0{digits}d}"
            save_image(base / "Image" / "original" / f"{name}.jpg", original.image)
            _, aligned = draw(seed, subject, index, ALIGNED, style)
            save_image(base / "Image" / "aligned" / f"{name}_aligned.jpg", aligned.image)
            lines.append([f"{name}.jpg", str(CODES[face.expression])])
    root = base.relative_to(folder).as_posix()
    rows = {f"{root}/Image/aligned/{Path(line[0]).stem}_aligned.jpg": line for line in lines}
    images = iter([path for path, line in rows.items() if line[0].startswith("train")])
    for kind, label in (("label_out_of_range", "8"), ("bad_label", "happy")):
        if kind in faults:
            path = take(images)
            rows[path][1] = label
            injected.append(Injected(kind, path, f"has the label {label}"))
    if "duplicate_row" in faults:
        path = take(images)
        lines.append(rows[path])
        injected.append(Injected("duplicate_row", path, f"is also in line {len(lines)}"))
    if "overlap" in faults:
        source = take(images)
        path = next(path for path, line in rows.items() if line[0].startswith("test"))
        (folder / path).write_bytes((folder / source).read_bytes())
        injected.append(Injected("overlap", path, f"the same bytes as {source}"))
    labels = base / "EmoLabel" / "list_patition_label.txt"
    labels.parent.mkdir()
    labels.write_text("".join(f"{name} {label}\n" for name, label in lines), encoding="ascii")
    return injected + damage(folder, images, faults)
