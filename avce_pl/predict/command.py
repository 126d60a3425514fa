"""What ``avce predict`` does: finds, crops and predicts every face of images, videos or a camera, into a table."""

import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from avce_pl.errors import Interrupted
from avce_pl.face.detection import Detection, Detector
from avce_pl.face.detectors import build_detector
from avce_pl.image.crop import Box
from avce_pl.inference.model import Model
from avce_pl.predict.annotation import Annotator, Mark, copies_of
from avce_pl.predict.face_tracks import Track, Tracker
from avce_pl.predict.sources import Frame, Source, read
from avce_pl.predict.table import QUADRANTS, Printed, Row, TableFile, columns
from avce_pl.utils.files import atomic_write
from avce_pl.utils.progress import ProgressBar

_BATCH = 16
_CHECKPOINT_SECONDS = 2.0
_NEUTRAL = 0.1


@dataclass(frozen=True)
class Options:
    """How to predict.

    Attributes:
        detector: name of the face detector.
        smooth: time constant of the smoothing in seconds, 0 for none.
        quadrants: whether to name the quarter of the plane.
        annotate: folder or file for annotated copies.
    """

    detector: str = "auto"
    smooth: float = 0.0
    quadrants: bool = False
    annotate: Path | None = None


@dataclass
class Counts:
    """What was seen.

    Attributes:
        frames: images and frames of videos.
        faces: faces in them.
        without: frames without a face.
        unreadable: names of images and videos that could not be read, or not to their end.
    """

    frames: int = 0
    faces: int = 0
    without: int = 0
    unreadable: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        faces, frames, without = _many(self.faces, "face"), _many(self.frames, "frame"), _many(self.without, "frame")
        text = f"{faces} in {frames}, {without} without a face"
        if self.unreadable:
            more = f" and {len(self.unreadable) - 5} more" if len(self.unreadable) > 5 else ""
            text += f"\nnot readable: {', '.join(self.unreadable[:5])}{more}"
        return text


def predict_sources(
    model: Model, sources: Sequence[Source], out: Path | None, options: Options, find: Detector | None = None
) -> Counts:
    """Predicts every face of all sources and writes the table, and annotated copies where they are wanted.

    Memory does not depend on how long a video is. With `out`, the table survives kill -9 and the same call resumes.

    Args:
        model: the model.
        sources: see `avce_pl.predict.sources.find_sources`.
        out: the table, ``.csv`` or ``.jsonl``; ``None`` prints CSV.
        options: how.
        find: your own detector instead of ``options.detector``.

    Raises:
        AvceError: something cannot be written.
        Interrupted: Ctrl-C; with `out`, the same call resumes.
    """
    find = find or build_detector(options.detector)
    names = columns(options.smooth, options.quadrants)
    copies = copies_of(sources, options.annotate)
    table: Printed | TableFile
    table = Printed(names, sys.stdout) if out is None else TableFile(out, names, _request(model, sources, options))
    try:
        job = _Job(model, sources, table, options, find, copies)
        try:
            job.run()
        except KeyboardInterrupt:
            if sources[-1].kind != "camera":
                again = "" if out is None else " Run the same command again to resume."
                raise Interrupted(f"Stopped after {job.counts.frames:,} frames.{again}", 130) from None
            job.end_source()
        finally:
            job.abandon()
        if out is not None:
            _write_information(out, model, options, job.counts)
        table.complete()
    finally:
        table.close()
    return job.counts


class _Job:
    """One run over all sources, with what has to survive between two batches."""

    def __init__(
        self,
        model: Model,
        sources: Sequence[Source],
        table: Printed | TableFile,
        options: Options,
        find: Detector,
        copies: Sequence[Path | None],
    ) -> None:
        self.model, self.sources, self.table, self.options, self.find = model, sources, table, options, find
        self.copies = copies
        self.shown = _shown(options)
        self.annotator: Annotator | None = None
        state = table.state or {}
        self.counts = Counts(**state.get("counts", {}))
        self.source: int = state.get("source", 0)
        self.done: int = state.get("done", 0)  # frames of that source that the table has
        self.start: int = state.get("start", table.position)  # where they begin in the table
        self.damaged: int = state.get("damaged", 0)  # frames of that source that cannot be decoded
        tracks = [Track(**{**track, "box": Box(*track["box"])}) for track in state.get("tracks", [])]
        self.tracker = Tracker(options.smooth, tracks, state.get("seen", 0))

    def run(self) -> None:
        """Predicts all that is not in the table yet."""
        copy = self.copies[self.source]
        redraw = self.done if copy is not None and not copy.exists() else 0
        drawn = self._recorded() if redraw else iter(())
        first, saved = self.source, time.monotonic()
        batch: list[Frame] = []
        with _bar(self.sources, self.counts.frames) as bar:
            for frame in read(self.sources, first, 0 if redraw else self.done):
                if frame.source == first and (frame.number or 0) < redraw:
                    self._draw(frame, next(drawn, []))
                    continue
                if len(batch) == _BATCH:
                    self._predict(batch)
                    batch = []
                    bar.show(self.counts.frames)
                    if time.monotonic() - saved > _CHECKPOINT_SECONDS:
                        self.table.checkpoint(self._state())
                        saved = time.monotonic()
                batch.append(frame)
            self._predict(batch)
        self.end_source()

    def end_source(self) -> None:
        """Closes the annotated copy of a source that has no more frames."""
        if self.annotator is not None:
            self.annotator.close()
            self.annotator = None
        if self.damaged:
            self.counts.unreadable.append(
                f"{self.damaged:,} of {self.done:,} frames of {self.sources[self.source].name}"
            )
            self.damaged = 0

    def abandon(self) -> None:
        """Throws away an annotated copy that is not complete."""
        if self.annotator is not None:
            self.annotator.abandon()

    def _predict(self, frames: Sequence[Frame]) -> None:
        found = [self.find(frame.image) if frame.image is not None else [] for frame in frames]
        crops = [
            self.model.crop(frame.image, detection)
            for frame, detections in zip(frames, found, strict=True)
            if frame.image is not None
            for detection in detections
        ]
        predictions = iter(self.model.predict_crops(crops).tolist())
        for frame, detections in zip(frames, found, strict=True):
            if frame.source != self.source:
                self.end_source()
                self.source, self.done, self.start = frame.source, 0, self.table.position
                self.tracker = Tracker(self.options.smooth)
            rows = self._rows(frame, [(detection, *next(predictions)) for detection in detections])
            self.table.write(rows)
            self.done += 1
            self.counts.frames += 1
            self.counts.faces += len(detections)
            self.counts.without += frame.image is not None and not detections
            if frame.image is None and frame.number is None:
                self.counts.unreadable.append(self.sources[frame.source].name)
            self.damaged += frame.image is None and frame.number is not None
            self._draw(frame, rows)

    def _rows(self, frame: Frame, faces: Sequence[tuple[Detection, float, float]]) -> list[Row]:
        place = {
            "file": self.sources[frame.source].name,
            "frame": frame.number,
            "time_seconds": None if frame.time is None else round(frame.time, 4),
        }
        if not faces:
            return [
                dict.fromkeys(self.table.names) | place | {"status": "unreadable" if frame.image is None else "no face"}
            ]
        moment = frame.time or 0.0
        tracks = self.tracker.follow([detection.box for detection, _, _ in faces], moment)
        rows: list[Row] = []
        for (detection, valence, arousal), known in zip(faces, tracks, strict=True):
            track = self.tracker.update(known, detection.box, moment, valence, arousal)
            values = {
                "face": track.number,
                "status": "face",
                "valence": round(valence, 6),
                "arousal": round(arousal, 6),
                **{f"box_{name}": round(value, 2) for name, value in detection.box._asdict().items()},
                "detector": detection.detector,
                "detection_confidence": round(detection.confidence, 4),
            }
            if self.options.smooth:
                values |= dict(zip(self.shown, (round(track.valence, 6), round(track.arousal, 6)), strict=True))
            if self.options.quadrants:
                values["quadrant_heuristic"] = quadrant(*(values[name] for name in self.shown))
            rows.append({name: (place | values)[name] for name in self.table.names})
        return rows

    def _draw(self, frame: Frame, rows: Sequence[Row]) -> None:
        copy, source = self.copies[frame.source], self.sources[frame.source]
        if copy is None or frame.image is None:
            return
        if self.annotator is None:
            self.annotator = Annotator(copy, frame.image.shape[:2], source)
        self.annotator.draw(
            frame.image, [Mark.of(row, *self.shown) for row in rows if row["status"] == "face"], frame.time
        )

    def _recorded(self) -> Iterator[list[Row]]:
        """The table's rows of the source that was interrupted, frame by frame."""
        assert isinstance(self.table, TableFile)
        for _, rows in groupby(self.table.read(self.start), key=lambda row: row["frame"]):
            yield list(rows)

    def _state(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "done": self.done,
            "start": self.start,
            "damaged": self.damaged,
            "seen": self.tracker.seen,
            "tracks": [asdict(track) for track in self.tracker.tracks],
            "counts": asdict(self.counts),
        }


def _bar(sources: Sequence[Source], done: int) -> ProgressBar:
    counts = [source.frames for source in sources]
    total = None if None in counts else sum(count or 0 for count in counts)
    return ProgressBar("predicting", total, done, "frames")


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def quadrant(valence: float, arousal: float) -> str:
    """A common name of a point's quarter of the plane, "neutral" within 0.1 of its centre; a heuristic."""
    return "neutral" if math.hypot(valence, arousal) < _NEUTRAL else QUADRANTS[valence > 0, arousal > 0]


def _shown(options: Options) -> tuple[str, str]:
    """The columns that annotated copies and quadrants show."""
    suffix = f"_smoothed_{options.smooth:g}s" if options.smooth else ""
    return f"valence{suffix}", f"arousal{suffix}"


def _request(model: Model, sources: Sequence[Source], options: Options) -> str:
    """A hash of all that decides the rows of a table."""
    files: list[tuple[str, float, int]] = []
    for source in sources:
        if source.kind == "camera":
            files.append((source.name, time.time(), 0))  # what it showed does not come back
        else:
            there = os.stat(source.name)
            files.append((source.name, there.st_mtime, there.st_size))
    decisive = [asdict(model.specification), files, options.detector, options.smooth, options.quadrants]
    return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()


def _write_information(out: Path, model: Model, options: Options, counts: Counts) -> None:
    """Writes beside the table what its columns cannot say: ``<table>.json``."""
    information = {
        "table": out.name,
        "model": asdict(model.specification),
        "valence": "unpleasant (-1) to pleasant (1)",
        "arousal": "calm (-1) to excited (1)",
        "detector": options.detector,
        "smoothing": f"exponential, causal, time constant {options.smooth:g} s" if options.smooth else None,
        "quadrant_heuristic": "names of the quarters of the plane; a heuristic, not a measurement of an emotion"
        if options.quadrants
        else None,
        "counts": asdict(counts),
        "limits": "Estimates of what a face shows, not of what a person feels; not a basis for decisions about people.",
    }
    atomic_write(out.with_name(out.name + ".json"), json.dumps(information, indent=1))
