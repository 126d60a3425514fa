"""Videos to crops of faces, in parallel; a video's folder appears atomically, so the same command resumes."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Sequence, Sized
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from hashlib import blake2b
from multiprocessing import get_context
from pathlib import Path

import cv2
from filelock import FileLock, Timeout
from rich.console import Console

from avce_pl.dataset.files.video_source import PREPARED, PREPARED_SETTINGS, VideoSource
from avce_pl.errors import AvceError, Interrupted
from avce_pl.face.detectors import PROVIDED, adds_margin, build_detector
from avce_pl.image.film import read_header
from avce_pl.prepare.record import COLUMNS, FRAMES, RECORD, Prepared, PrepareSettings, Record, read_record
from avce_pl.prepare.video import PARTIAL, QUALITY, Job, prepare_video, start_worker
from avce_pl.utils.files import atomic_path, atomic_write, remove_leftovers
from avce_pl.utils.progress import ProgressBar


def prepare(
    sources: Sequence[VideoSource], out: Path, settings: PrepareSettings, jobs: int = 1, follow: bool = True
) -> Prepared:
    """Cuts the face out of every frame of some videos, in parallel.

    Writes ``<video>/<frame>.jpg`` (frame from 0, five digits) for each face and the table `PREPARED` with a row per
    frame. A frame without a face is a row with an empty path, and no other picture replaces it. The detectors "auto"
    and "provided" take the data set's own boxes where a video has any. Of several faces `choose` takes one; of
    two people in a video (`VideoSource.side`) the left or the right one of the two largest, or the only one found if
    it is in that half.

    Args:
        sources: What to prepare.
        out: Folder for the results. Videos that are finished there are not prepared again.
        settings: How the crops are made; a folder with crops of other settings is refused.
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
            remove_leftovers(out)
            for partial in out.glob(f"{PARTIAL}*"):
                shutil.rmtree(partial)
            records = _run([Job(source, _key(source), follow) for source in sources], out, settings, jobs)
            _write_table(out)
    except Timeout:
        raise AvceError(f"Another avce data prepare is writing to {out}. Wait for it, or give another --out.") from None
    except OSError as error:
        raise AvceError(
            f"{out} cannot be written: {error.strerror or error}. Make room or make the folder writable, then run the "
            "same command again; finished videos are kept."
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
    if settings.detector == PROVIDED and bare:
        raise AvceError(f"No boxes are provided for {len(bare)} videos, such as {bare[0]}. Choose --detector auto.")


def _settle(out: Path, settings: PrepareSettings, sources: Sequence[VideoSource]) -> None:
    """Writes the settings, or compares them with those in the folder, and prints which detector runs."""
    own: dict[str, str] = {}
    if settings.detector != PROVIDED:
        finder = build_detector(settings.detector, settings.yunet_model)
        own = {"finder": finder.name, "finder_version": finder.version}
    margin = settings.margin if adds_margin(own.get("finder", PROVIDED)) else None
    asked = {"detector": settings.detector, "margin": margin, "size": settings.size}
    now = {**asked, **own, "quality": QUALITY, "opencv": cv2.__version__}
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
    elif (out / PREPARED).exists() or any(out.glob(f"*/{RECORD}")):
        raise AvceError(f"{out} holds crops but not the settings they were made with. Give another --out.")
    else:
        atomic_write(path, json.dumps(now, indent=2) + "\n")
    boxes = sum(bool(source.boxes) for source in sources) if settings.detector in ("auto", PROVIDED) else 0
    running = [PROVIDED] * (boxes > 0) + [own.get("finder", "")] * (boxes < len(sources))
    Console(stderr=True).print(f"detector: {' and '.join(running)}", highlight=False)


def _key(source: VideoSource) -> str:
    """Identifies what the crops of a source depend on, apart from the settings."""
    pictures = [source.path] if source.path else list(source.stills or ())
    files = [(path.name, path.stat().st_size if path.is_file() else -1) for path in pictures]
    text = json.dumps([files, source.frames, source.side, sorted(source.boxes.items())])
    return blake2b(text.encode(), digest_size=10).hexdigest()


def _run(jobs: list[Job], out: Path, settings: PrepareSettings, processes: int) -> list[Record]:
    found = {job.source.name: read_record(out / job.source.name) for job in jobs}
    records = {job.source.name: record for job in jobs if (record := found[job.source.name]) and record.key == job.key}
    todo = [job for job in jobs if job.source.name not in records]
    if todo:
        expected = [_expected(job.source) for job in todo]
        context = get_context("spawn")
        counter, stop = context.Value("q", 0), context.Event()
        pool = ProcessPoolExecutor(min(processes, len(todo)), context, start_worker, (counter, stop, os.getpid()))
        with ProgressBar(_videos(records, jobs), sum(expected), unit="frames") as progress:
            try:
                waiting = {pool.submit(prepare_video, job, out, settings) for job in todo}
                while waiting:
                    ended, waiting = wait(waiting, timeout=0.25, return_when=FIRST_COMPLETED)
                    records |= {record.name: record for record in (future.result() for future in ended)}
                    progress.show(min(counter.value, sum(expected)), _videos(records, jobs))
            except KeyboardInterrupt:
                raise Interrupted(
                    f"Interrupted after {len(records)} of {len(jobs)} videos. Run the same command again to resume.",
                    130,
                ) from None
            except BrokenProcessPool:
                left = [job.source.name for job in todo if job.source.name not in records][:processes]
                raise AvceError(
                    f"A process died while it prepared one of {', '.join(left)}: out of memory, or a video that "
                    "crashes the decoder. Run the same command again, with fewer --jobs or without that video."
                ) from None
            finally:
                stop.set()
                pool.shutdown(cancel_futures=True)
    return [records[job.source.name] for job in jobs]


def _expected(source: VideoSource) -> int:
    if source.frames is not None or source.path is None:
        return source.frames or len(source.stills or ())
    try:
        return read_header(source.path).frames or 0
    except AvceError:
        return 0


def _write_table(out: Path) -> None:
    """Joins the tables of all videos in the folder."""
    with atomic_path(out / PREPARED) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(COLUMNS) + "\n")
        for folder in sorted(path.parent for path in out.glob(f"*/{RECORD}") if path.parent.name[0] != "."):
            if read_record(folder) is None:  # of a video that is not among the sources
                raise AvceError(f"{folder} is damaged. Delete it, or prepare that video again.")
            file.write((folder / FRAMES).read_text(encoding="utf-8"))


def _videos(records: Sized, jobs: Sized) -> str:
    return f"{len(records)} of {len(jobs)} videos"
