"""One video in a process of its own: its frames are decoded, faces found, cut out and written."""

import csv
import json
import shutil
import signal
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from avce_pl.dataset.files.video_source import VideoSource
from avce_pl.errors import AvceError
from avce_pl.face.detection import Detection, Detector, Image, choose
from avce_pl.face.detectors import PROVIDED, build_detector, margin_for
from avce_pl.image.crop import Box, crop_face, misplaced
from avce_pl.image.decode import decode
from avce_pl.image.film import read_film
from avce_pl.prepare.record import FRAMES, RECORD, PrepareSettings, Record
from avce_pl.utils.processes import end_with_parent

PARTIAL = ".partial-"
"""Before the name of a video, the name of its folder until it is complete."""

QUALITY = 95
"""JPEG quality of the crops."""


class Job(NamedTuple):
    """One source for one process.

    Attributes:
        source: What to prepare.
        key: See `Record`.
        follow: Whether its pictures follow one another, so that the last box helps to choose the next.
    """

    source: VideoSource
    key: str
    follow: bool


_counter: Any = None
_stop: Any = None


def start_worker(counter: Any, stop: Any, parent: int) -> None:
    """Sets a process up: one thread; ignores SIGINT, as the parent says when to stop; ends with its parent."""
    global _counter, _stop
    _counter, _stop = counter, stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    end_with_parent(parent)


@lru_cache(maxsize=1)
def _finder(name: str, yunet_model: Path | None) -> Detector:
    return build_detector(name, yunet_model)


def prepare_video(job: Job, out: Path, settings: PrepareSettings) -> Record:
    """Prepares one video in a folder with another name, which is renamed when it is complete."""
    source = job.source
    record = Record(source.name, job.key, labels=source.frames)
    folder, partial = out / source.name, out / f"{PARTIAL}{source.name}"
    partial.mkdir()
    previous = None
    try:
        with (partial / FRAMES).open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            for number, image in enumerate(_pictures(source, record)):
                face = None if image is None else _face(image, number, source, record, settings, previous)
                if image is None or face is None:
                    table.writerow(["", source.name, number, *[""] * 6])
                    continue
                previous = face.box if job.follow else None
                crop = crop_face(image, face.box, settings.size, margin_for(face.detector, settings.margin))
                (partial / f"{number:05d}.jpg").write_bytes(_jpeg(crop))
                record.faces[face.detector] = record.faces.get(face.detector, 0) + 1
                path, box = f"{source.name}/{number:05d}.jpg", (f"{value:.2f}" for value in face.box)
                table.writerow([path, source.name, number, *box, face.detector, f"{face.confidence:.4f}"])
    except AvceError as error:
        shutil.rmtree(partial)
        return Record(source.name, job.key, error=f"{source.name}: {error}")
    record.table_bytes = (partial / FRAMES).stat().st_size
    (partial / RECORD).write_text(json.dumps(asdict(record), indent=2) + "\n")
    if folder.exists():
        shutil.rmtree(folder)  # of a video that has changed since
    partial.rename(folder)
    return record


def _pictures(source: VideoSource, record: Record) -> Iterator[Image | None]:
    """The frames of a source, counted; ``None`` for one that cannot be decoded."""
    if source.path is None and source.stills is None:
        raise AvceError("There are labels but no video.")
    for image in _stills(source.stills or (), record) if source.path is None else _film(source.path, record):
        if _stop.is_set():
            raise RuntimeError("stopped")  # the next start removes the unfinished folder
        record.frames += 1
        with _counter.get_lock():
            _counter.value += 1
        yield image


def _film(path: Path, record: Record) -> Iterator[Image | None]:
    for frame in read_film(path):
        record.lost += frame.image is None
        yield frame.image


def _stills(paths: Sequence[Path], record: Record) -> Iterator[Image | None]:
    for path in paths:
        try:
            image = decode(np.fromfile(path, np.uint8))
        except OSError:
            image = None
        if image is None:
            record.bad.append(path.name)
        yield image


def _face(
    image: Image, number: int, source: VideoSource, record: Record, settings: PrepareSettings, previous: Box | None
) -> Detection | None:
    height, width = image.shape[:2]
    if source.boxes and settings.detector in ("auto", PROVIDED):
        if number not in source.boxes:
            return None
        box = source.boxes[number]
        if misplaced(box, height, width):
            record.misplaced += 1
            return None
        return Detection(box, 1.0, PROVIDED)
    faces = _finder(settings.detector, settings.yunet_model)(image)
    if source.side:
        largest = sorted(faces, key=lambda face: -face.box.width * face.box.height * face.confidence)[:2]
        largest.sort(key=lambda face: face.box.x + face.box.width / 2, reverse=source.side == "right")
        if len(largest) == 1:
            middle = largest[0].box.x + largest[0].box.width / 2
            largest = largest if (middle < width / 2) == (source.side == "left") else []
        faces = largest[:1]
    return choose(faces, previous)


def _jpeg(image: Image) -> bytes:
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert done
    return data.tobytes()
