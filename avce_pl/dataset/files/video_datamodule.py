"""Data sets of labelled videos: labels of frames are joined to pictures of frames."""

import os
import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avce_pl.dataset.core.index import FaceIndex
from avce_pl.dataset.core.split_protocol import Finding
from avce_pl.dataset.files.csv_table import relative
from avce_pl.dataset.files.datamodule import FileDataModule, Reading, VideoOptions, wrong_labels
from avce_pl.dataset.files.video_source import PREPARED, PREPARED_COLUMNS, VideoSource
from avce_pl.errors import AvceError
from avce_pl.utils.text import enumerate_names

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")
HEAPS = re.compile(r"videos|bboxes|landmarks|cropped.*|batch\d.*|prepared|\..*|__macosx", re.IGNORECASE)
"""Folders of thousands of files, in which no other part of a data set is looked for."""
_SPLITS = ("train", "test", "val", "validation", "train_set", "validation_set", "test_set")


@dataclass(frozen=True, eq=False)
class LabelledFrames:
    """The labels of one sequence of frames.

    Attributes:
        video: Its name.
        frames: Numbers of the frames (n,), ascending from 0.
        labels: Valence and arousal (n, 2) in [-1, 1]; NaN where the owners say that there is no label.
        subject: Who it is, "" unknown.
        broken: Whether there is a problem with a line, so that none of them is used.
    """

    video: str
    frames: NDArray[np.int64]
    labels: NDArray[np.float64]
    subject: str = ""
    broken: bool = False


class VideoDataModule(FileDataModule):
    """Frames of labelled videos, as pictures of faces.

    A reader adds `label_files`, `read_labels`, `split`, `videos`, `findings` and, where the data set itself holds
    pictures, `own_folders` and `own_pictures`.

    Args:
        root: Folder of the data set.
        protocol: Name of one of the reader's `protocols`.
        frames: Folder of what ``avce data prepare`` made; ``None`` is ``prepared`` in the root, used when it is there.
        options: See `FileDataModule`.
    """

    no_label = "no label"
    """What the record of a run calls a frame whose label is NaN."""

    def __init__(
        self, root: str | None, protocol: str, frames: str | None = None, **options: Unpack[VideoOptions]
    ) -> None:
        super().__init__(root, protocol, **options)
        self.frames = None if frames is None else Path(frames).expanduser()

    @abstractmethod
    def label_files(self) -> list[Path]:
        """The files of labels.

        Raises:
            AvceError: there are none.
        """

    @abstractmethod
    def read_labels(self) -> tuple[list[LabelledFrames], list[Finding]]:
        """All labelled sequences, in a fixed order, and what is wrong with their files."""

    @abstractmethod
    def split(self, sequences: Sequence[LabelledFrames]) -> Mapping[str, str]:
        """Video -> train, val or test."""

    @abstractmethod
    def videos(self) -> list[VideoSource]:
        """What can be prepared, see `avce_pl.dataset.files.video_source.VideoReader`."""

    @abstractmethod
    def findings(self) -> list[Finding]:
        """What is wrong with the videos, or does not fit the labels, and what is worth knowing."""

    def own_folders(self) -> list[Path]:
        """The folders of the data set's own pictures of frames: when a file comes or goes, the index is built anew."""
        return []

    def own_pictures(self) -> Mapping[str, "pd.Series[str]"]:
        """What is in `own_folders`: video -> frame -> path from the root."""
        return {}

    @cached_property
    def prepared(self) -> Path | None:
        """The table of prepared frames that the pictures come from; None if the data set's own are used."""
        if self.unprepared:
            raise AvceError(self.unprepared)
        return self._table if self._table.is_file() else None

    @property
    def unprepared(self) -> str:
        """That the frames are not prepared, and the command that does it; "" if there are pictures."""
        if self._table.is_file() or (self.frames is None and self.own_folders()):
            return ""
        name = type(self).__module__.rpartition(".")[2]
        return (
            f"The frames of the videos in {self.root} are not prepared yet: there is no {self._table}. Make it with: "
            f"avce data prepare {name} --root {self.root} --out {self._table.parent}"
        )

    @property
    def image_root(self) -> Path:
        """The folder of the prepared frames, or of the data set."""
        return self.root if self.prepared is None else self.prepared.parent

    def annotations(self) -> list[Path]:
        """Files of labels, and what tells which pictures there are."""
        return self.label_files() + ([self._table] if self._table.is_file() else self.own_folders())

    def settings(self) -> dict[str, Any]:
        """Where the pictures are."""
        return {"images": str(self.image_root.resolve())}

    @property
    def sequences(self) -> list[LabelledFrames]:
        """All labelled sequences."""
        return self._labels[0]

    @property
    def problems(self) -> list[Finding]:
        """What is wrong with the files of labels; nothing is trained on while there are any."""
        return self._labels[1]

    @cached_property
    def _labels(self) -> tuple[list[LabelledFrames], list[Finding]]:
        try:
            return self.read_labels()
        except OSError as error:
            raise AvceError(f"{error.filename} cannot be read: {error.strerror}.") from error

    @property
    def _table(self) -> Path:
        return (self.root / "prepared" if self.frames is None else self.frames) / PREPARED

    def read(self) -> Reading:
        """Joins labels and pictures frame by frame; before the frames are prepared, every one counts as a picture.

        Raises:
            AvceError: no labelled frame has a picture.
        """
        splits = self.split(self.sequences)
        sequences = [sequence for sequence in self.sequences if not sequence.broken]
        if not sequences:
            raise wrong_labels(self.root, self.problems)
        pictures = {s.video: _expected(s) for s in sequences} if self.unprepared else self.pictures()
        tables, dropped = [], Counter[str]()
        for sequence in sequences:
            frames = pd.Index(sequence.frames)
            own = pictures.get(sequence.video, _NO_PICTURES)
            paths = own.reindex(frames)
            unlabelled = np.isnan(sequence.labels).any(axis=1)
            absent, faceless = paths.isna().to_numpy(), (paths == "").to_numpy()
            dropped[self.no_label] += int(unlabelled.sum())
            dropped["no picture of the frame"] += int((absent & ~unlabelled).sum())
            dropped["no face found"] += int((faceless & ~unlabelled).sum())
            dropped["picture without a label"] += len(own.index.difference(frames))
            keep = ~(unlabelled | absent | faceless)
            table = pd.DataFrame(sequence.labels[keep], columns=["valence", "arousal"])
            tables.append(
                table.assign(
                    path=paths[keep].to_numpy(),
                    frame=sequence.frames[keep],
                    split=splits[sequence.video],
                    video=sequence.video,
                    subject=sequence.subject,
                    **({} if self.unprepared else self.boxes(sequence, keep)),
                )
            )
        table = pd.concat(tables, ignore_index=True)
        if table.empty and not self.problems:
            raise AvceError(
                f"No labelled frame of {self.root} has a picture in {self.image_root}. The labels are of the videos "
                f"{enumerate_names([s.video for s in self.sequences])}; the pictures of {enumerate_names(pictures)}."
            )
        index = FaceIndex.build(table, self.protocol, {reason: n for reason, n in dropped.items() if n})
        return Reading(index, self.problems)

    def boxes(self, sequence: LabelledFrames, keep: NDArray[np.bool_]) -> dict[str, NDArray[np.int64]]:
        """Columns of boxes for a sequence's frames that are kept; none where pictures show the face alone."""
        return {}

    def pictures(self) -> Mapping[str, "pd.Series[str]"]:
        """Video -> frame -> path from `image_root`, "" where no face was found."""
        return self.own_pictures() if self.prepared is None else read_prepared(self.prepared)


def _expected(sequence: LabelledFrames) -> "pd.Series[str]":
    """What the pictures of a sequence may be called."""
    paths = [f"{sequence.video}/{frame:05d}.jpg" for frame in sequence.frames.tolist()]
    return pd.Series(paths, index=sequence.frames, dtype=object)


_NO_PICTURES = pd.Series([], index=pd.Index([], dtype=np.int64), dtype=object)


def read_prepared(table: Path) -> dict[str, "pd.Series[str]"]:
    """What ``avce data prepare`` wrote: video -> frame -> path from the table's folder, "" where no face was found.

    Raises:
        AvceError: the table is not what ``avce data prepare`` writes.
    """
    try:
        cells = pd.read_csv(table, dtype={"path": str, "video": str}, keep_default_na=False)
        rows = cells[list(PREPARED_COLUMNS)].astype({"frame": np.int64})
    except (KeyError, ValueError, OSError) as error:
        raise AvceError(f"{table} is not a table of avce data prepare: {error}. Prepare the frames anew.") from None
    if (twice := rows.duplicated(["video", "frame"])).any():
        row = rows[twice].iloc[0]
        raise AvceError(f"{table} lists frame {row['frame']} of {row['video']} twice. Prepare the frames anew.")
    return {str(video): part.set_index("frame")["path"] for video, part in rows.groupby("video", sort=False)}


def named_folders(root: Path, pattern: str, depth: int = 6) -> list[Path]:
    """Folders in the root, or deeper, whose names match a pattern in any case; not those inside one another.

    Raises:
        AvceError: a folder cannot be read.
    """
    found: list[Path] = []
    level = [root] if root.is_dir() else []
    for _ in range(depth):
        below = []
        for entry in (entry for folder in level for entry in listed(folder) if entry.is_dir()):
            if re.fullmatch(pattern, entry.name, re.IGNORECASE):
                found.append(Path(entry.path))
            elif not HEAPS.fullmatch(entry.name):
                below.append(Path(entry.path))
        level = below
    return found


def contents(places: Iterable[Path]) -> Iterator[Path]:
    """What is in some folders, by name, but for hidden things such as macOS's ``._001.txt``.

    Folders doubled by unpacking, and those of the splits, are passed through.
    """
    for place in places:
        for entry in (entry for entry in listed(place) if not entry.name.startswith(".")):
            if entry.is_dir() and entry.name.lower() in (place.name.lower(), *_SPLITS):
                yield from contents([Path(entry.path)])
            else:
                yield Path(entry.path)


def listed(folder: Path) -> list["os.DirEntry[str]"]:
    """Entries of a folder by name.

    Raises:
        AvceError: it cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise AvceError(f"The folder {folder} cannot be read: {error.strerror}.") from None


def numbered(folder: Path, suffixes: Sequence[str]) -> dict[int, str]:
    """Files called by a number: number -> name."""
    names = [entry.name for entry in listed(folder)]
    parts = [(name, *os.path.splitext(name)) for name in names]
    return {int(stem): name for name, stem, suffix in parts if stem.isdecimal() and suffix.lower() in suffixes}


def to_numbers(
    cells: "pd.Series[Any]", name: str, limit: float, where: str, place: Callable[[int], str]
) -> tuple[NDArray[np.float64], list[Finding]]:
    """Labels as numbers, and what is wrong with them: one finding for each kind of fault, with the first place.

    Args:
        cells: As they are in the file, None or "" for what is not there.
        name: Such as "valence".
        limit: Labels lie in [-limit, limit].
        where: The file, from the root.
        place: Position -> place in the file, such as "Line 3".
    """
    numbers = pd.to_numeric(cells, errors="coerce").to_numpy(np.float64)
    infinite = ~np.isfinite(numbers)
    empty = infinite & (cells.isna() | (cells == "")).to_numpy(bool)
    checks = {
        "missing_annotation": (empty, "is missing"),
        "bad_label": (infinite & ~empty, "is not a number"),
        "label_out_of_range": (~infinite & (np.abs(numbers) > limit), f"is outside [-{limit:g}, {limit:g}]"),
    }
    found = []
    for kind, (wrong, complaint) in checks.items():
        if wrong.any():
            first = int(np.argmax(wrong))
            value = "" if empty[first] else f" {cells.iloc[first]}"
            more = f", and {wrong.sum() - 1} more" if wrong.sum() > 1 else ""
            found.append(Finding(True, kind, where, f"{place(first)}: {name}{value} {complaint}{more}."))
    return numbers, found


def inspect_video(path: Path) -> int | None:
    """Number of frames of a video file; None if it cannot be opened or ends before its header says."""
    video = cv2.VideoCapture(str(path))
    try:
        count = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
        # Headers of intact files may promise some frames too many.
        video.set(cv2.CAP_PROP_POS_FRAMES, int(0.95 * count))
        return count if video.isOpened() and count > 0 and video.read()[0] else None
    finally:
        video.release()


def inspect_videos(root: Path, sources: Sequence[VideoSource]) -> tuple[dict[str, int], list[Finding]]:
    """Frames of each sequence's video, and the videos that cannot be read to their end."""
    paths = sorted({source.path for source in sources if source.path is not None})
    counts = dict(zip(paths, map(inspect_video, paths), strict=True))
    text = "The video cannot be opened, or ends before its header says."
    broken = [Finding(True, "truncated_video", relative(root, path), text) for path in paths if counts[path] is None]
    return {s.name: count for s in sources if s.path and (count := counts[s.path]) is not None}, broken


def compare_rows(sources: Sequence[VideoSource], counts: Mapping[str, int], what: str) -> list[Finding]:
    """Sequences whose labels are not as many as their frames, or what else there is one of per label.

    Headers and annotators may be off by a little; more than one and more than one hundredth is a fault.
    """
    found, near = [], []
    for source in sources:
        rows, count = source.frames or 0, counts.get(source.name)
        if count is not None and abs(rows - count) > max(1, count // 100):
            found.append(Finding(True, "label_rows", source.name, f"{rows} rows of labels for {count} {what}."))
        elif count is not None and rows != count:
            near.append(source.name)
    if near:
        text = f"{len(near)} videos have a row or so more or fewer than {what}: {enumerate_names(near)}."
        found.append(Finding(False, "label_rows", near[0], text))
    return found


def frames_that(kind: str, what: str, where: str, missing: Mapping[str, int]) -> list[Finding]:
    """One finding for all frames that lack something: it is not worth a line per video.

    Args:
        kind: The finding's.
        what: What they do: "Labelled frames that ...: 12, in 3 of 40 videos".
        where: The folder that was looked in.
        missing: Video -> number of frames.
    """
    having = {video: count for video, count in missing.items() if count}
    if not having:
        return []
    most = max(having, key=lambda video: having[video])
    text = f"Labelled frames that {what}: {sum(having.values()):,}, in {len(having)} of {len(missing)} videos"
    return [Finding(False, kind, where, f"{text}; most, {having[most]:,}, in {most}.")]
