"""From the owners' archives to crops of faces: frames at the labels' rate, detection, `crop_face`, a table.

A video's folder appears whole or not at all, so the same command resumes whatever ended this program.
"""

import csv
import glob
import importlib
import json
import math
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import lru_cache
from hashlib import blake2b
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from avce_pl.dataset.files.video_source import PREPARED, PREPARED_COLUMNS, PREPARED_SETTINGS, VideoSource
from avce_pl.errors import AvceError, Interrupted
from avce_pl.face.detection import Detection, Detector, DetectorName, Image, choose, detector
from avce_pl.image.crop import Box, crop_face, misplaced
from avce_pl.image.decode import decode, promised_frames, read_video
from avce_pl.utils.processes import end_with_parent

READERS = {"aff_wild": "AffWildDataModule", "aff_wild2": "AffWild2DataModule", "afew_va": "AfewVaDataModule"}
"""The data sets of videos, and the class that reads each."""

COLUMNS = (*PREPARED_COLUMNS, "confidence")
"""Columns of `PREPARED`: those that readers need, and how sure the detector was."""

_RECORD = "video.json"
_FRAMES = "frames.csv"
_PARTIAL = ".partial-"
_QUALITY = 95
_PORTION = 500
_SECONDS = 10
_LISTED = 20


@dataclass(frozen=True)
class PrepareSettings:
    """What decides how the crops look; written to ``prepared.json``, and one folder holds crops of one kind.

    Attributes:
        detector: What was asked for.
        margin: Share by which the square exceeds the face's box.
        size: Side of a crop in pixels.
        yunet_model: YuNet's model file, if not in its place.
    """

    detector: DetectorName = "auto"
    margin: float = 0.3
    size: int = 224
    yunet_model: Path | None = None


@dataclass
class Record:
    """What came of one video; kept as ``video.json`` in its folder.

    Attributes:
        name: Of the video.
        key: Stands for the source; another one, and the video is prepared anew.
        frames: Frames that were decoded.
        promised: Frames that there should be, by the file's header; 0 unknown.
        labels: Rows of labels; None where there are none.
        faces: Crops by detector.
        bad: Pictures of a sequence of stills that are missing or broken.
        misplaced: Provided boxes that lie outside their frame.
        error: Why nothing could be prepared; "" if it could.
        table_bytes: Size of ``frames.csv`` beside it, by which a damaged one is known.
    """

    name: str
    key: str
    frames: int = 0
    promised: int = 0
    labels: int | None = None
    faces: dict[str, int] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)
    misplaced: int = 0
    error: str = ""
    table_bytes: int = -1

    @property
    def fault(self) -> str:
        """Why the video, or a part of it, could not be read; "" if it could."""
        if self.error:
            return self.error
        if self.promised - self.frames > max(1, self.promised // 100):
            return f"{self.name}: the video ends after {self.frames} of the {self.promised} frames its header promises."
        if self.bad:
            more = f" and {len(self.bad) - 3} more" if len(self.bad) > 3 else ""
            return f"{self.name}: pictures are missing or broken: {', '.join(self.bad[:3])}{more}."
        return ""

    @property
    def remark(self) -> str:
        """What should be known although all could be read; "" for nothing."""
        if not self.error and self.labels is not None and self.labels != self.frames:
            return f"{self.name}: {self.frames} frames for {self.labels} rows of labels."
        if self.misplaced:
            return f"{self.name}: {self.misplaced} of the boxes provided lie outside their frames, or are absurd."
        return ""


@dataclass(frozen=True)
class Prepared:
    """What `prepare` did: a record per video, in the order asked for, and where the table is."""

    table: Path
    records: list[Record]

    @property
    def faults(self) -> list[str]:
        """A sentence per video that could not be read, or not to its end."""
        return [record.fault for record in self.records if record.fault]

    def text(self) -> str:
        """The summary."""
        frames = sum(record.frames for record in self.records)
        faces: Counter[str] = Counter()
        for record in self.records:
            faces.update(record.faces)
        found = faces.total()
        by = ", ".join(f"{name} {count}" for name, count in sorted(faces.items()))
        share = f" ({found / frames:.1%})" if frames else ""
        videos = "1 video" if len(self.records) == 1 else f"{len(self.records)} videos"
        lines = [
            f"{videos}, {frames} frames: {found} faces{share}{f', by {by}' if by else ''}; "
            f"{frames - found} frames without a face"
        ]
        remarks = [record.remark for record in self.records if record.remark]
        for heading, sentences in (("To know:", remarks), ("Could not be read, or not wholly:", self.faults)):
            if sentences:
                lines += [heading, *(f"  {sentence}" for sentence in sentences[:_LISTED])]
            if len(sentences) > _LISTED:
                lines.append(f"  and {len(sentences) - _LISTED} more; see video.json in each video's folder")
        return "\n".join([*lines, f"wrote {self.table}"])


class _Job(NamedTuple):
    source: VideoSource
    key: str
    follow: bool
    """Whether its pictures are of one person, so that the last box helps to choose the next."""


def video_sources(patterns: Sequence[str]) -> list[VideoSource]:
    """Video files of your own, by path or by pattern such as ``clips/*.mp4``.

    Raises:
        AvceError: nothing matches, or two files have the same name.
    """
    paths: list[Path] = []
    for pattern in patterns:
        matches = sorted(glob.glob(os.path.expanduser(pattern))) if glob.has_magic(pattern) else [pattern]
        if not matches:
            raise AvceError(f"--video {pattern} matches no file.")
        paths += [Path(match).expanduser() for match in matches]
    return [VideoSource(path.stem, path, None) for path in dict.fromkeys(paths)]


def prepare_dataset(
    layout: str | None, root: Path | None, videos: Sequence[str], out: Path | None, settings: PrepareSettings, jobs: int
) -> Prepared:
    """Prepares a data set, or video files of one's own; see `prepare`.

    Args:
        layout: A name in `READERS`, or "csv": images in the lists of `CsvDataModule`, which are written anew with the
            paths of the crops; images without a face are left out. None for ``videos``.
        root: Folder of the data set.
        videos: See `video_sources`.
        out: See `prepare`; None for ``prepared`` in the root, where the readers look, or here.
        settings: See `prepare`.
        jobs: See `prepare`.
    """
    known = ", ".join([*READERS, "csv"])
    if (layout is None) == (not videos):
        raise AvceError(f"Say what to prepare: either a data set ({known}) with --root FOLDER, or --video FILE.")
    out = out or (root.expanduser() if root else Path()) / "prepared"
    if layout is None:
        return prepare(video_sources(videos), out, settings, jobs)
    if root is None:
        raise AvceError(f"Say where {layout} is: --root FOLDER.")
    if layout == "csv":
        return _prepare_lists(root, out, settings, jobs)
    if layout not in READERS:
        raise AvceError(f"There is nothing to prepare for {layout!r}, only for {known}.")
    reader = getattr(importlib.import_module(f"avce_pl.dataset.{layout}"), READERS[layout])(str(root))
    return prepare(reader.videos(), out, settings, jobs)


def prepare(
    sources: Sequence[VideoSource], out: Path, settings: PrepareSettings, jobs: int = 1, follow: bool = True
) -> Prepared:
    """Cuts the face out of every frame of some videos, in parallel.

    Writes ``<video>/<frame>.jpg`` (frame from 0, five digits) for each face and the table `PREPARED` with a row per
    frame. A frame without a face is a row with an empty path; no picture stands in for it. The data set's own boxes
    are taken under the detectors "auto" and "provided" where a video has any. Of several faces `choose` takes one; of
    two people in a video (`VideoSource.side`) the left or the right one of the two largest, or the only one found if
    it is in that half.

    Args:
        sources: What to prepare.
        out: Folder for the results. What it holds already is kept, and not done again.
        settings: How; a folder that holds crops of another kind is refused.
        jobs: Number of processes.
        follow: Whether the pictures of one source follow one another.

    Raises:
        AvceError: settings do not fit, names are taken twice, or nothing can be written.
        Interrupted: Ctrl-C; the same command resumes.
    """
    _check(sources, settings)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with FileLock(out / ".lock", timeout=0):
            _settle(out, settings, sources)
            for partial in out.glob(f"{_PARTIAL}*"):
                shutil.rmtree(partial)
            records = _run([_Job(source, _key(source), follow) for source in sources], out, settings, jobs)
            _write_table(out)
    except Timeout:
        raise AvceError(f"Another avce data prepare is writing to {out}. Wait for it, or give another --out.") from None
    except OSError as error:
        raise AvceError(
            f"{out} cannot be written: {error.strerror or error}. Make room or the folder writable, then give the same "
            "command again; what is done is kept."
        ) from error
    return Prepared(out / PREPARED, records)


def _check(sources: Sequence[VideoSource], settings: PrepareSettings) -> None:
    names = Counter(source.name for source in sources)
    if twice := [name for name, count in names.items() if count > 1]:
        raise AvceError(f"Several videos are called {twice[0]}; prepare them into different folders.")
    for name in names:
        if Path(name).name != name or name.startswith("."):
            raise AvceError(f"{name!r} cannot be the name of a video's folder. Rename the video.")
    bare = [source.name for source in sources if not source.boxes]
    if settings.detector == "provided" and bare:
        raise AvceError(f"No boxes are provided for {len(bare)} videos, such as {bare[0]}. Choose --detector auto.")


def _settle(out: Path, settings: PrepareSettings, sources: Sequence[VideoSource]) -> None:
    """Writes the settings down, or compares them with those that are, and says which detector runs."""
    own: dict[str, str] = {}
    if settings.detector != "provided":
        finder = detector(settings.detector, settings.yunet_model)
        own = {"finder": finder.name, "finder_version": finder.version}
    asked = {key: value for key, value in asdict(settings).items() if key != "yunet_model"}
    now = {**asked, **own, "quality": _QUALITY, "opencv": cv2.__version__}
    path = out / PREPARED_SETTINGS
    if path.exists():
        try:
            before = dict(json.loads(path.read_text()))
        except (ValueError, TypeError):
            raise AvceError(f"{path} is damaged. Delete {out}, or give another --out.") from None
        if different := [f"{k}={before.get(k)} (now {v})" for k, v in now.items() if before.get(k) != v]:
            raise AvceError(
                f"{out} holds crops that were made with {', '.join(different)}. Give the same settings, or another "
                "--out."
            )
    elif (out / PREPARED).exists() or any(out.glob(f"*/{_RECORD}")):
        raise AvceError(f"{out} holds crops but not the settings they were made with. Give another --out.")
    else:
        _replace(path, json.dumps(now, indent=2) + "\n")
    boxes = sum(bool(source.boxes) for source in sources) if settings.detector in ("auto", "provided") else 0
    running = ["provided"] * (boxes > 0) + [own.get("finder", "")] * (boxes < len(sources))
    Console(stderr=True).print(f"detector: {' and '.join(running)}", highlight=False)


def _key(source: VideoSource) -> str:
    """Stands for what the crops of a source depend on, settings aside."""
    pictures = [source.path] if source.path else list(source.stills or ())
    files = [(path.name, path.stat().st_size if path.is_file() else -1) for path in pictures]
    text = json.dumps([files, source.frames, source.side, sorted(source.boxes.items())])
    return blake2b(text.encode(), digest_size=10).hexdigest()


def _done(out: Path, job: _Job) -> Record | None:
    record = _record(out / job.source.name)
    return record if record and record.key == job.key else None


def _record(folder: Path) -> Record | None:
    """What came of a video; None where it, or its table, is missing or damaged."""
    try:
        record = Record(**json.loads((folder / _RECORD).read_text()))
        return record if record.table_bytes == (folder / _FRAMES).stat().st_size else None
    except (OSError, ValueError, TypeError):
        return None


# ---------------------------------------------------------------------------------------------- the processes


def _run(jobs: list[_Job], out: Path, settings: PrepareSettings, processes: int) -> list[Record]:
    records = {job.source.name: record for job in jobs if (record := _done(out, job))}
    todo = [job for job in jobs if job.source.name not in records]
    if todo:
        expected = [_expected(job.source) for job in todo]
        context = get_context("spawn")
        counter, stop = context.Value("q", 0), context.Event()
        pool = ProcessPoolExecutor(min(processes, len(todo)), context, _start, (counter, stop, os.getpid()))
        with _Progress(len(jobs), len(records), sum(expected)) as progress:
            try:
                waiting = {pool.submit(_prepare_video, job, out, settings) for job in todo}
                while waiting:
                    ended, waiting = wait(waiting, timeout=0.25, return_when=FIRST_COMPLETED)
                    records |= {record.name: record for record in (future.result() for future in ended)}
                    progress.show(len(records), counter.value)
            except KeyboardInterrupt:
                raise Interrupted(
                    f"Interrupted after {len(records)} of {len(jobs)} videos. Run the same command again to resume.",
                    130,
                ) from None
            except BrokenProcessPool:
                left = [job.source.name for job in todo if job.source.name not in records][:processes]
                raise AvceError(
                    f"A process died while it prepared one of {', '.join(left)}: out of memory, or a video that "
                    "crashes the decoder. Give the same command again, with fewer --jobs or without that video."
                ) from None
            finally:
                stop.set()
                pool.shutdown(cancel_futures=True)
    return [records[job.source.name] for job in jobs]


def _expected(source: VideoSource) -> int:
    if source.frames is not None or source.path is None:
        return source.frames or len(source.stills or ())
    try:
        return promised_frames(source.path)
    except AvceError:
        return 0


class _Progress:
    """A bar with the time left in a terminal, elsewhere a line every ten seconds."""

    def __init__(self, videos: int, done: int, frames: int) -> None:
        self.videos, self.frames = videos, frames
        self.console = Console(stderr=True)
        columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), "frames,", TimeRemainingColumn(), "left")
        self.bar = Progress(
            *(TextColumn(c) if isinstance(c, str) else c for c in columns), console=self.console, transient=True
        )
        self.task = self.bar.add_task(f"{done} of {videos} videos", total=max(frames, 1))
        self.began = self.said = time.monotonic()

    def __enter__(self) -> "_Progress":
        if self.console.is_terminal:
            self.bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.console.is_terminal:
            self.bar.stop()

    def show(self, videos: int, frames: int) -> None:
        text = f"{videos} of {self.videos} videos"
        self.bar.update(self.task, completed=min(frames, self.frames), description=text)
        now = time.monotonic()
        if not self.console.is_terminal and now - self.said > _SECONDS and frames:
            self.said = now
            left = timedelta(seconds=round((now - self.began) / frames * max(self.frames - frames, 0)))
            self.console.print(f"{text}, {frames} of {self.frames} frames, {left} left", highlight=False)


_counter: Any = None
_stop: Any = None


def _start(counter: Any, stop: Any, parent: int) -> None:
    """Prepares a process: one thread, deaf to Ctrl-C (the parent says when to stop), and gone with its parent."""
    global _counter, _stop
    _counter, _stop = counter, stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    end_with_parent(parent)


@lru_cache(maxsize=1)
def _finder(name: str, yunet_model: Path | None) -> Detector:
    return detector(name, yunet_model)


def _prepare_video(job: _Job, out: Path, settings: PrepareSettings) -> Record:
    """Prepares one video in a folder of another name, which is renamed when it is complete."""
    source = job.source
    record = Record(source.name, job.key, labels=source.frames)
    folder, partial = out / source.name, out / f"{_PARTIAL}{source.name}"
    partial.mkdir()
    previous = None
    try:
        record.promised = promised_frames(source.path) if source.path else 0
        with (partial / _FRAMES).open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            for number, image in enumerate(_pictures(source, record)):
                face = None if image is None else _face(image, number, source, record, settings, previous)
                if image is None or face is None:
                    table.writerow(["", source.name, number, *[""] * 6])
                    continue
                previous = face.box if job.follow else None
                crop = crop_face(image, face.box, settings.size, settings.margin)
                (partial / f"{number:05d}.jpg").write_bytes(_jpeg(crop))
                record.faces[face.detector] = record.faces.get(face.detector, 0) + 1
                path, box = f"{source.name}/{number:05d}.jpg", (f"{value:.2f}" for value in face.box)
                table.writerow([path, source.name, number, *box, face.detector, f"{face.confidence:.4f}"])
    except AvceError as error:
        shutil.rmtree(partial)
        return Record(source.name, job.key, error=f"{source.name}: {error}")
    record.table_bytes = (partial / _FRAMES).stat().st_size
    (partial / _RECORD).write_text(json.dumps(asdict(record), indent=2) + "\n")
    if folder.exists():
        shutil.rmtree(folder)  # of a video that has changed since
    partial.rename(folder)
    return record


def _pictures(source: VideoSource, record: Record) -> Iterator[Image | None]:
    """The frames of a source, counted; None for a still that cannot be read."""
    if source.path is None and source.stills is None:
        raise AvceError("There are labels but no video.")
    for image in _stills(source.stills or (), record) if source.path is None else read_video(source.path):
        if _stop.is_set():
            raise RuntimeError("stopped")  # the parent no longer listens; what is unfinished is cleared next time
        record.frames += 1
        with _counter.get_lock():
            _counter.value += 1
        yield image


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
    if source.boxes and settings.detector in ("auto", "provided"):
        if number not in source.boxes:
            return None
        box = Box(*source.boxes[number])
        if misplaced(box, height, width):
            record.misplaced += 1
            return None
        return Detection(box, 1.0, "provided")
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
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert done
    return data.tobytes()


# ------------------------------------------------------------------------------------------------- the tables


def _write_table(out: Path) -> None:
    """Puts the tables of all videos that are there one after the other."""
    temporary = out / f".{PREPARED}"
    with temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(COLUMNS) + "\n")
        for folder in sorted(path.parent for path in out.glob(f"*/{_RECORD}") if path.parent.name[0] != "."):
            if _record(folder) is None:  # of a video that was not given this time
                raise AvceError(f"{folder} is damaged. Delete it, or prepare that video again.")
            file.write((folder / _FRAMES).read_text(encoding="utf-8"))
    os.replace(temporary, out / PREPARED)


def _prepare_lists(root: Path, out: Path, settings: PrepareSettings, jobs: int) -> Prepared:
    """Prepares the images of CSV lists, in portions that stand for videos, and writes the lists anew."""
    import pandas as pd

    from avce_pl.dataset.csv import COLUMNS as NAMES
    from avce_pl.dataset.csv import CsvDataModule
    from avce_pl.dataset.files.csv_table import Table

    reader = CsvDataModule(str(root), scale=math.inf)  # labels are copied as they are, whatever their scale
    table = reader.read_all().table
    portions: dict[str, list[VideoSource]] = {}
    for split in reader.lists():
        paths = [root.expanduser() / path for path in table["path"][table["split"] == split]]
        portions[split] = [
            VideoSource(f"{split}-{first:07d}", None, None, stills=paths[first : first + _PORTION])
            for first in range(0, len(paths), _PORTION)
        ]
    prepared = prepare([source for part in portions.values() for source in part], out, settings, jobs, follow=False)
    for split, path in reader.lists().items():
        listed = Table(reader.root, path, NAMES)
        cells = pd.read_csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False, encoding="utf-8-sig")
        cells = cells.iloc[listed.lines - 2].fillna("")  # the header is line 1
        crops = []
        for source in portions[split]:
            with (out / source.name / _FRAMES).open(newline="", encoding="utf-8") as file:
                crops += [row[0] for row in csv.reader(file)]
        name = listed.names["path"]
        cells[name] = crops
        _replace(out / path.name, cells[cells[name] != ""].to_csv(index=False))
    return prepared


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
