"""Aff-Wild, the challenge of 2017: videos of people in the wild, annotated frame by frame."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar, Literal, Unpack

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avce_pl.dataset.check.videos import compare_rows, frames_that, inspect_videos
from avce_pl.dataset.core.datamodule import Seed
from avce_pl.dataset.core.split_protocol import Finding, Protocol
from avce_pl.dataset.files.datamodule import VideoOptions
from avce_pl.dataset.files.folders import doubled, relative
from avce_pl.dataset.files.reading import LabelledFrames, to_numbers
from avce_pl.dataset.files.text import read_lines
from avce_pl.dataset.files.video_datamodule import VideoDataModule
from avce_pl.dataset.files.video_folders import VIDEO_SUFFIXES, contents, named_folders, numbered
from avce_pl.dataset.files.video_source import VideoSource
from avce_pl.errors import AvceError
from avce_pl.image.crop import Box

_TRAIN_SHARE = 0.7


class AffWildDataModule(VideoDataModule):
    """The labelled videos of Aff-Wild, as crops that ``avce data prepare aff_wild`` made.

    Reads ``valence/NNN.txt`` and ``arousal/NNN.txt`` (a number per frame), ``videos`` and ``bboxes``, wherever they
    lie below the root. The challenge's test labels are withheld, so papers split the 252 training videos;
    the 30 % that validate are also the test, as in the papers.

    Args:
        root: Folder of ``annotations``, ``bboxes`` and ``videos``.
        protocol: Name of one of `protocols`.
        split_seed: Another one, another choice of videos for validation. The run's seed does not change the split.
        align: Which frame a line of labels belongs to: "frame", line i to frame i; "bbox", line i to the i-th frame
            that has a box. ``avce data check`` says which of them fits.
        frames: See `VideoDataModule`.
        options: See `FileDataModule`.
    """

    protocols: ClassVar[Mapping[str, Protocol]] = {
        "aff_wild_video_70_30": Protocol(
            "70 % of the labelled videos train; the others validate and test, as the official test labels are withheld",
            videos={"train": 176, "val": 76, "all": 252},
        )
    }
    request: ClassVar[str] = (
        "Aff-Wild is given to academics: ibug.doc.ic.ac.uk/resources/first-affect-wild-challenge says how to ask."
    )

    def __init__(
        self,
        root: str | None,
        protocol: Literal["aff_wild_video_70_30"] = "aff_wild_video_70_30",
        split_seed: Seed = 0,
        align: Literal["frame", "bbox"] = "frame",
        frames: str | None = None,
        **options: Unpack[VideoOptions],
    ) -> None:
        super().__init__(root, protocol, frames, **options)
        self.split_seed = split_seed
        self.align = align

    def label_files(self) -> list[Path]:
        """All files of valence and arousal."""
        files = [path for paths in self._annotations.values() for path in paths.values()]
        if not files:
            raise self.missing("a folder annotations with files of valence and arousal, valence/NNN.txt")
        return files

    def annotations(self) -> list[Path]:
        """Also the folders of boxes, under `align` "bbox"."""
        return super().annotations() + (list(self._box_folders.values()) if self.align == "bbox" else [])

    def settings(self) -> dict[str, Any]:
        """`split_seed` and `align`."""
        return super().settings() | {"split_seed": self.split_seed, "align": self.align}

    def read_labels(self) -> tuple[list[LabelledFrames], list[Finding]]:
        """Reads valence and arousal of every video that has both."""
        self.label_files()
        sequences, problems = [], []
        valences, arousals = self._annotations["valence"], self._annotations["arousal"]
        for name in sorted(valences.keys() | arousals.keys()):
            if name not in valences or name not in arousals:
                there, absent = ("valence", "arousal") if name in valences else ("arousal", "valence")
                where = relative(self.root, self._annotations[there][name])
                problems.append(Finding(True, "missing_annotation", where, f"There is no {absent} of {name}."))
                continue
            columns, sound = [], True
            for dimension, path in (("valence", valences[name]), ("arousal", arousals[name])):
                cells = pd.Series(read_lines(path), dtype=object)
                where = relative(self.root, path)
                numbers, wrong = to_numbers(cells, dimension, 1, where, lambda row: f"Line {row + 1}")
                problems += wrong
                sound &= not wrong
                columns.append(numbers)
            valence, arousal = columns
            if len(valence) != len(arousal):
                where = relative(self.root, valences[name])
                text = f"{len(valence)} lines, but {len(arousal)} of arousal."
                problems.append(Finding(True, "label_rows", where, text))
                continue
            labels = np.stack([valence, arousal], axis=1)
            frames = np.arange(len(labels))
            if self.align == "bbox":
                frames = np.array(sorted(self._boxes(name)), np.int64)[: len(labels)]
                labels = labels[: len(frames)]
            sequences.append(LabelledFrames(name, frames, labels, broken=not sound))
        return sequences, problems

    def split(self, sequences: Sequence[LabelledFrames]) -> Mapping[str, str]:
        """Draws the videos that train from all, by `split_seed`."""
        names = sorted(sequence.video for sequence in sequences)
        order = np.random.default_rng(self.split_seed).permutation(len(names))
        train = max(1, min(round(_TRAIN_SHARE * len(names)), len(names) - 1))
        return {names[place]: "train" if rank < train else "val" for rank, place in enumerate(order)}

    def videos(self) -> list[VideoSource]:
        """The labelled videos, with their boxes."""
        return [
            VideoSource(s.video, self._files.get(s.video), len(s.labels), self._boxes(s.video)) for s in self.sequences
        ]

    def findings(self) -> list[Finding]:
        """Compares labels, videos and boxes."""
        sources = self.videos()
        found = [
            Finding(True, "missing_video", source.name, "There are labels but no video.")
            for source in sources
            if source.path is None
        ]
        labelled = self._annotations["valence"].keys() | self._annotations["arousal"].keys()
        found += [
            Finding(False, "unlabelled_video", where, "There are no labels of this video.")
            for name, path in self._files.items()
            if name not in labelled and "test" not in (where := relative(self.root, path)).lower().split("/")
        ]
        counts, broken = inspect_videos(self.root, sources)
        boxes = {source.name: len(source.boxes) for source in sources if source.boxes}
        found += broken + self._compare(sources, counts, boxes)
        if boxes:
            missing = {s.name: max(counts.get(s.name, s.frames or 0) - boxes.get(s.name, 0), 0) for s in sources}
            found += frames_that("no_face", "have no box", "bboxes", missing)
        return found + _twice(self.root, self._files) + doubled(self.root, self.label_files())

    def _compare(
        self, sources: Sequence[VideoSource], counts: Mapping[str, int], boxes: Mapping[str, int]
    ) -> list[Finding]:
        """Labels against frames, or against boxes under `align` "bbox"; and whether the other would fit better."""
        found = {
            "frame": compare_rows(sources, counts, "frames"),
            "bbox": compare_rows(sources, boxes, "boxes"),
        }
        other: Literal["frame", "bbox"] = "bbox" if self.align == "frame" else "frame"
        faults = {align: sum(finding.fault for finding in findings) for align, findings in found.items()}
        if boxes and faults[other] < faults[self.align]:
            text = (
                f"As many labels as frames have {len(sources) - faults['frame']} of {len(sources)} videos, as many as "
                f"boxes {len(sources) - faults['bbox']}: dataset.align={other} fits better."
            )
            found[self.align].append(Finding(False, "align", "annotations", text))
        return found[self.align]

    def _boxes(self, video: str) -> Mapping[int, Box]:
        folder = self._box_folders.get(video)
        return {} if folder is None else PointFiles(folder)

    @cached_property
    def _annotations(self) -> dict[str, dict[str, Path]]:
        """Dimension -> video -> file."""
        found = {}
        for dimension in ("valence", "arousal"):
            files = contents(named_folders(self.root, dimension))
            found[dimension] = {path.stem: path for path in files if path.suffix.lower() == ".txt"}
        return found

    @cached_property
    def _files(self) -> dict[str, Path]:
        """Video -> file."""
        files = contents(named_folders(self.root, "videos"))
        return {path.stem: path for path in files if path.suffix.lower() in VIDEO_SUFFIXES}

    @cached_property
    def _box_folders(self) -> dict[str, Path]:
        return {path.name: path for path in contents(named_folders(self.root, "bboxes")) if path.is_dir()}


class PointFiles(Mapping[int, Box]):
    """Boxes in files ``<frame>.pts``, frames from 1, each read on access: frame from 0 -> box."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def _names(self) -> dict[int, str]:
        return {number - 1: name for number, name in sorted(numbered(self.folder, (".pts",)).items())}

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[int]:
        return iter(self._names)

    def __getitem__(self, frame: int) -> Box:
        points = read_points(self.folder / self._names[frame])
        x, y = points.min(axis=0).tolist()
        right, bottom = points.max(axis=0).tolist()
        return Box(x, y, right - x, bottom - y)


def read_points(path: Path) -> NDArray[np.float64]:
    """The points of a .pts file (n, 2): lines "x y" between braces.

    Raises:
        AvceError: it holds something else.
    """
    text = path.read_text("utf-8", "replace")
    _, _, rest = text.partition("{")
    inside, closed, _ = rest.partition("}")
    try:
        points = np.array([line.split() for line in inside.strip().splitlines()], np.float64)
    except ValueError:
        points = np.empty(0)
    if not closed or points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise AvceError(f"{path} is not a file of points: lines of x and y between braces. Unpack it again.")
    return points


def _twice(root: Path, files: Mapping[str, Path]) -> list[Finding]:
    """Videos that exist under two names, compared by their size, beginning and end."""
    found, first = [], dict[tuple[int, str], str]()
    for name, path in files.items():
        size = path.stat().st_size
        with path.open("rb") as file:
            ends = file.read(2**16)
            file.seek(max(size - 2**16, 0))
            ends += file.read()
        key = size, blake2b(ends).hexdigest()
        if (other := first.setdefault(key, name)) != name:
            text = f"The same video as {other}: it may train and validate."
            found.append(Finding(True, "overlap", relative(root, path), text))
    return found
