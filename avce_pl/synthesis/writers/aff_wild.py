"""Aff-Wild, the challenge of 2017: whole videos, a text file of labels for each, boxes and landmarks per frame."""

import shutil
from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avce_pl.synthesis.face import FaceStyle
from avce_pl.synthesis.video import AFF_WILD
from avce_pl.synthesis.writers.base import FIRST_SUBJECT, Injected, take
from avce_pl.synthesis.writers.film import VIDEO_FAULTS, Shot, plan, record, save_video, shoot, truncate

FAULTS = VIDEO_FAULTS | {"missing_annotation": "a video has valence but no arousal"}


def write(
    folder: Path,
    train: int = 12,
    val: int = 0,
    test: int = 2,
    size: int = 128,
    seed: int = 0,
    style: FaceStyle = AFF_WILD,
    faults: Collection[str] = (),
    frames: int = 30,
) -> list[Injected]:
    """Writes videos of one person each as the layout of Aff-Wild.

    ``videos/{train,test}/NNN.{mp4,avi}``; ``annotations/train/{valence,arousal}/NNN.txt``, a number per frame;
    ``bboxes/train/NNN/<frame>.pts`` and ``landmarks/train/NNN/<frame>.pts``, frames from 1. Every third video is an
    .avi.

    Args:
        folder: Where to; made if it is not there.
        train: Number of labelled videos.
        val: Number of further labelled videos: Aff-Wild keeps them all in ``train``.
        test: Number of videos without labels.
        size: Height of the videos in pixels.
        seed: Which population of people.
        style: What the people look like; the pictures show head and shoulders.
        faults: Names from `FAULTS`.
        frames: About how many frames each video has.

    Returns:
        The faults put in.
    """
    labelled = train + val
    split = "train/train" if "nested" in faults else "train"
    names = []
    for number, length in plan(seed, labelled + test, frames):
        name = f"{number + 1:03d}"
        video = record(seed, number if number < labelled else FIRST_SUBJECT["test"] + number, length, style)
        shots = list(shoot(video, size))
        where = folder / "videos" / (split if number < labelled else "test")
        save_video(where / f"{name}.{'avi' if number % 3 == 2 else 'mp4'}", (shot.image for shot in shots))
        if number < labelled:
            names.append(name)
            for column, dimension in enumerate(("valence", "arousal")):
                annotation = folder / "annotations" / split / dimension / f"{name}.txt"
                annotation.parent.mkdir(parents=True, exist_ok=True)
                annotation.write_text("".join(f"{value:.6f}\n" for value in video.labels[:, column]))
            _write_points(folder, split, name, shots)
    return _spoil(folder, split, names, faults)


def _write_points(folder: Path, split: str, name: str, shots: list[Shot]) -> None:
    for kind in ("bboxes", "landmarks"):
        (folder / kind / split / name).mkdir(parents=True)
    for frame, shot in enumerate(shots, start=1):
        x, y, w, h = shot.box
        corners = np.array([(x, y), (x, y + h), (x + w, y + h), (x + w, y)])
        (folder / "bboxes" / split / name / f"{frame}.pts").write_text(_pts(corners))
        (folder / "landmarks" / split / name / f"{frame}.pts").write_text(_pts(shot.landmarks))


def _pts(points: NDArray[np.floating]) -> str:
    lines = "\n".join(f"{x:.3f} {y:.3f}" for x, y in points.tolist())
    return f"version: 1\nn_points: {len(points)}\n{{\n{lines}\n}}\n"


def _spoil(folder: Path, split: str, names: list[str], faults: Collection[str]) -> list[Injected]:
    """Puts the faults in, each into a video of its own."""
    left = iter(names)
    injected = []

    def annotation(dimension: str, name: str) -> Path:
        return folder / "annotations" / split / dimension / f"{name}.txt"

    def video(name: str) -> Path:
        return next((folder / "videos" / split).glob(f"{name}.*"))

    def inject(kind: str, path: Path, detail: str) -> None:
        injected.append(Injected(kind, path.relative_to(folder).as_posix(), detail))

    def edit(kind: str, dimension: str, line: int, text: str) -> None:
        path = annotation(dimension, take(left))
        lines = path.read_text().split("\n")
        lines[line - 1] = text
        path.write_text("\n".join(lines))
        inject(kind, path, f"line {line} is {text}")

    if "label_out_of_range" in faults:
        edit("label_out_of_range", "valence", 3, "70")
    if "bad_label" in faults:
        edit("bad_label", "arousal", 2, "calm")
    if "label_rows" in faults:
        name = take(left)
        for dimension in ("valence", "arousal"):
            path = annotation(dimension, name)
            path.write_text("".join(path.read_text().splitlines(keepends=True)[:-2]))
        inject("label_rows", annotation("valence", name), "two rows fewer than frames, and so for arousal")
    if "no_face" in faults:
        name = take(left)
        for frame in (2, 3, 5):
            for kind in ("bboxes", "landmarks"):
                (folder / kind / split / name / f"{frame}.pts").unlink()
        inject("no_face", folder / "bboxes" / split / name, "no box for frames 2, 3 and 5, counted from 1")
    if "missing_annotation" in faults:
        path = annotation("arousal", take(left))
        path.unlink()
        inject("missing_annotation", path, FAULTS["missing_annotation"])
    if "truncated_video" in faults:
        injected.append(truncate(folder, video(take(left))))
    if "missing_video" in faults:
        path = video(take(left))
        path.unlink()
        inject("missing_video", path, FAULTS["missing_video"])
    if "overlap" in faults:
        name = take(left)
        path, copy = video(name), f"{len(names) + 500:03d}"
        shutil.copy(path, path.with_stem(copy))
        for dimension in ("valence", "arousal"):
            shutil.copy(annotation(dimension, name), annotation(dimension, copy))
        for kind in ("bboxes", "landmarks"):
            shutil.copytree(folder / kind / split / name, folder / kind / split / copy)
        inject("overlap", path.with_stem(copy), f"the same video as {name}")
    if "nested" in faults:
        inject("nested", folder / "annotations" / split, FAULTS["nested"])
    return injected
