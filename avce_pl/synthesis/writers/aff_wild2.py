"""Aff-Wild2 as the ABAW competitions hand it out: a text file of labels per person, aligned crops, whole videos."""

import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from avce_pl.synthesis.face import FaceStyle
from avce_pl.synthesis.video import AFF_WILD, Video
from avce_pl.synthesis.writers.base import FIRST_SUBJECT, IMAGE_FAULTS, Injected, damage, save_image, take
from avce_pl.synthesis.writers.film import (
    VIDEO_FAULTS,
    Shot,
    plan,
    record,
    save_video,
    shoot,
    side_by_side,
    truncate,
)

FAULTS = (
    {kind: IMAGE_FAULTS[kind] for kind in ("truncated_image", "empty_image", "duplicate_image")}
    | VIDEO_FAULTS
    | {
        "sentinels": "rows with -5 for valence, for arousal and for both, which mean that there is no label",
        "no_face": "there is no crop of some frames",
        "nested": "folders are doubled, as unpacking leaves them: cropped_aligned/cropped_aligned",
        "missing_annotation": "a line holds only one number",
        "overlap": "a training video has labels in the validation set too",
    }
)

_LABELS = "VA_Estimation_Challenge"
_SETS = {"train": "Train_Set", "val": "Validation_Set"}
_SIDE = 112
_EYES = np.array([(38.0, 48.0), (74.0, 48.0), (56.0, 84.0)])  # eyes and mouth in an aligned crop


def write(
    folder: Path,
    train: int = 16,
    val: int = 4,
    test: int = 1,
    size: int = 128,
    seed: int = 0,
    style: FaceStyle = AFF_WILD,
    faults: Collection[str] = (),
    frames: int = 30,
) -> list[Injected]:
    """Writes videos as the layout of Aff-Wild2.

    ``VA_Estimation_Challenge/{Train_Set,Validation_Set}/<video>.txt`` with a header and a line per frame;
    ``cropped_aligned/<video>/00001.jpg``, 112 pixels wide, for a part of the videos in
    ``cropped_aligned_new_50_vids``; ``batch1``, ``batch2`` and ``batch3`` with the videos. Every fourth video shows
    two people, each with labels and crops of their own: ``<video>_left`` and ``<video>_right``, or ``<video>`` and
    ``<video>_right``. Every other folder of crops holds an image more than there are labels, and there are stray
    ``.DS_Store`` files: the real one has them.

    Args:
        folder: Where to; made if it is not there.
        train: Number of training videos.
        val: Number of validation videos, of other people.
        test: Number of videos without labels, of yet others.
        size: Height of the videos in pixels.
        seed: Which population of people.
        style: What the people look like; the pictures show head and shoulders.
        faults: Names from `FAULTS`.
        frames: About how many frames each video has.

    Returns:
        The faults put in.
    """
    crops = "cropped_aligned/cropped_aligned" if "nested" in faults else "cropped_aligned"
    splits = ["train"] * train + ["val"] * val + ["test"] * test
    people: list[tuple[str, str]] = []
    for number, length in plan(seed, len(splits), frames):
        split = splits[number]
        pair = number % 4 == 1
        subjects = [FIRST_SUBJECT[split] + 2 * number + person for person in range(1 + pair)]
        more = number % 2  # an image without a label at the end
        videos = [record(seed, subject, length + more, style) for subject in subjects]
        name = f"{number + 1}-30-{size * 4 // 3}x{size}" if number % 3 == 0 else f"video{number + 1}"
        names = [f"{name}_left" if number % 8 == 1 else name, f"{name}_right"] if pair else [name]
        new = number % 5 == 4
        for person, video in zip(names, videos, strict=True):
            if split != "test":
                people.append((split, person))
                _write_labels(folder / _LABELS / _SETS[split] / f"{person}.txt", video.labels[:length])
        homes = [folder / ("cropped_aligned_new_50_vids" if new else crops) / person for person in names]
        batch = f"batch{number % 3 + 1}"
        save_video(folder / batch / f"{name}.{'avi' if number % 3 == 2 else 'mp4'}", _film(videos, homes, size))
    for place in (crops, _LABELS + "/Train_Set"):
        (folder / place / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    return _spoil(folder, crops, people, faults)


def _film(videos: list[Video], homes: list[Path], size: int) -> Iterator[NDArray[np.uint8]]:
    """The pictures of the video; on the way, writes the crops."""
    shots: Iterator[tuple[Shot, ...]]
    if len(videos) == 2:
        shots = ((left, right) for _, left, right in side_by_side(*(shoot(video, size) for video in videos)))
    else:
        shots = ((shot,) for shot in shoot(videos[0], size))
    for frame, people in enumerate(shots, start=1):
        for home, shot in zip(homes, people, strict=True):
            save_image(home / f"{frame:05d}.jpg", _aligned(shot))
        yield people[0].image


def _aligned(shot: Shot) -> NDArray[np.uint8]:
    """The face turned and scaled so that eyes and mouth come to the same places, 112 pixels wide."""
    points = shot.landmarks.astype(np.float64)
    found = np.stack([points[36:42].mean(axis=0), points[42:48].mean(axis=0), points[48:60].mean(axis=0)])
    # The similarity that brings them nearest to their places, as complex numbers: z -> a z + b.
    z, place = found @ [1, 1j], _EYES @ [1, 1j]
    centred = z - z.mean()
    a = (place * centred.conj()).sum() / (abs(centred) ** 2).sum()
    b = place.mean() - a * z.mean()
    matrix = np.array([(a.real, -a.imag, b.real), (a.imag, a.real, b.imag)])
    return cv2.warpAffine(shot.image, matrix, (_SIDE, _SIDE)).astype(np.uint8)


def _write_labels(path: Path, labels: NDArray[np.float32]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{valence:.3f},{arousal:.3f}" for valence, arousal in labels.tolist()]
    path.write_text("\n".join(["valence,arousal", *rows]) + "\n")


def _spoil(folder: Path, crops: str, people: list[tuple[str, str]], faults: Collection[str]) -> list[Injected]:
    """Puts the faults in, each into the files of a training video of its own."""
    names = [name for split, name in people if split == "train" and (folder / crops / name).is_dir()]
    left = iter([name for name in names if not name.endswith(("_left", "_right"))])
    injected = []

    def annotation(name: str, split: str = "train") -> Path:
        return folder / _LABELS / _SETS[split] / f"{name}.txt"

    def video(name: str) -> Path:
        return next(folder.glob(f"batch*/{name}.*"))

    def inject(kind: str, path: Path, detail: str) -> None:
        injected.append(Injected(kind, path.relative_to(folder).as_posix(), detail))

    def edit(kind: str, lines: dict[int, str]) -> None:
        path = annotation(take(left))
        rows = path.read_text().split("\n")
        for line, text in lines.items():
            rows[line - 1] = text
        path.write_text("\n".join(rows))
        inject(kind, path, "; ".join(f"line {line} is {text}" for line, text in lines.items()))

    if "sentinels" in faults:
        edit("sentinels", {3: "-5,-5", 4: "-5,0.100", 6: "0.200,-5"})
    if "label_out_of_range" in faults:
        edit("label_out_of_range", {4: "70,0.100"})
    if "bad_label" in faults:
        edit("bad_label", {5: "0.100,calm"})
    if "missing_annotation" in faults:
        edit("missing_annotation", {7: "0.250"})
    if "label_rows" in faults:
        path = annotation(take(left))
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-3]))
        inject("label_rows", path, "three rows fewer")
    if "no_face" in faults:
        name = take(left)
        for frame in (2, 3, 5):
            (folder / crops / name / f"{frame:05d}.jpg").unlink()
        inject("no_face", folder / crops / name, "no crop of frames 2, 3 and 5, counted from 1")
    if "truncated_video" in faults:
        injected.append(truncate(folder, video(take(left))))
    if "missing_video" in faults:
        name = take(left)
        video(name).unlink()
        shutil.rmtree(folder / crops / name)
        inject("missing_video", annotation(name), "there is neither the video nor crops of it")
    if "overlap" in faults:
        name = take(left)
        shutil.copy(annotation(name), annotation(name, "val"))
        inject("overlap", annotation(name, "val"), f"{name} is a training video too")
    if "nested" in faults:
        inject("nested", folder / crops, FAULTS["nested"])
    images = (
        path.relative_to(folder).as_posix() for name in left for path in sorted((folder / crops / name).iterdir())
    )
    return injected + damage(folder, images, faults)
