"""AFEW-VA: short clips from films, annotated frame by frame."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Unpack

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from avce_pl.dataset.check.videos import frames_that
from avce_pl.dataset.core.split_protocol import Finding, Protocol
from avce_pl.dataset.files.datamodule import VideoOptions
from avce_pl.dataset.files.folders import doubled, listed, relative
from avce_pl.dataset.files.reading import LabelledFrames, to_numbers
from avce_pl.dataset.files.video_datamodule import VideoDataModule
from avce_pl.dataset.files.video_folders import HEAPS, numbered
from avce_pl.dataset.files.video_source import VideoSource
from avce_pl.errors import AvceError
from avce_pl.image.crop import Box

FOLDS = 5
GRID = (720, 576)
"""Width and height of the grid that landmarks are measured on, whatever the size of the frames."""
FOREHEAD = 0.22
"""Share of the landmarks' height that a face's box reaches above the brows."""
_VAL_SHARES = 8
_TRAIN_SHARE = 0.8
_SCALE = 10
_DEPTH = 4


class AfewVaDataModule(VideoDataModule):
    """AFEW-VA, cut by its own landmarks, or crops that ``avce data prepare afew_va`` made.

    Reads ``NNN/NNN.json`` and ``NNN/00000.png``, ... wherever they lie below the root; labels are divided by 10.
    Landmarks are on a grid of 720 by 576 and brought to the size of the clip's frames; a box is theirs, with the
    forehead. Without prepared frames, those without landmarks are left out.

    Args:
        root: Folder of the clips, or of ``01`` to ``12``.
        protocol: Name of one of `protocols`.
        fold: Which of the five folds is the test, under ``afew_va_5fold_actor``.
        frames: See `VideoDataModule`.
        options: See `FileDataModule`.
    """

    protocols: ClassVar[Mapping[str, Protocol]] = {
        "afew_va_5fold_actor": Protocol(
            "five folds of actors, `fold` is the test; an eighth of the others, by actor, validates; nobody is in two "
            "splits",
            {"all": 30_051},
            videos={"all": 600},
        ),
        "afew_va_clip_random_legacy": Protocol(
            "80 % of the clips, drawn at random, train; the others validate and test. LEAKS: actors are in both",
            {"all": 30_051},
            videos={"train": 480, "val": 120},
        ),
    }
    request: ClassVar[str] = (
        "AFEW-VA is given to academics by the iBUG group, ibug.doc.ic.ac.uk/resources/afew-va-database."
    )

    def __init__(
        self,
        root: str | None,
        protocol: Literal["afew_va_5fold_actor", "afew_va_clip_random_legacy"] = "afew_va_5fold_actor",
        fold: Annotated[int, Field(ge=0, lt=FOLDS)] = 0,
        frames: str | None = None,
        **options: Unpack[VideoOptions],
    ) -> None:
        super().__init__(root, protocol, frames, **options)
        self.fold = fold

    def label_files(self) -> list[Path]:
        """The JSON file of every clip."""
        if not self._clips:
            raise self.missing("clips, NNN/NNN.json and NNN/00000.png")
        return self._clips

    def settings(self) -> dict[str, Any]:
        """`fold`."""
        return super().settings() | {"fold": self.fold}

    def read_labels(self) -> tuple[list[LabelledFrames], list[Finding]]:
        """Reads all JSON files."""
        sequences: dict[str, LabelledFrames] = {}
        problems: list[Finding] = []
        for path in self.label_files():
            where = relative(self.root, path)
            if path.stem in sequences:
                text = f"The clip is also in {relative(self.root, self._homes[path.stem])}."
                problems.append(Finding(True, "overlap", where, text))
                continue
            try:
                actor, frames = _read(path)
            except ValueError as error:
                problems.append(Finding(True, "broken_json", where, f"The file cannot be used: {error}."))
                continue
            numbers, columns, sound = list(frames), [], True
            places = [f"Frame {number:05d}" for number in numbers]
            for dimension in ("valence", "arousal"):
                cells = pd.Series([_cell(frame.get(dimension)) for frame in frames.values()], dtype=object)
                column, wrong = to_numbers(cells, dimension, _SCALE, where, places.__getitem__)
                problems += wrong
                sound &= not wrong
                columns.append(column / _SCALE)
            labels = np.stack(columns, axis=1)
            sequences[path.stem] = LabelledFrames(path.stem, np.array(numbers), labels, actor, broken=not sound)
            self._homes[path.stem] = path.parent
            self._landmarks[path.stem] = [_points(frame.get("landmarks")) for frame in frames.values()]
        return list(sequences.values()), problems

    def split(self, sequences: Sequence[LabelledFrames]) -> Mapping[str, str]:
        """By actor or, under the legacy protocol, by clip."""
        if self.protocol == "afew_va_clip_random_legacy":
            order = np.random.default_rng(0).permutation(sorted(sequence.video for sequence in sequences))
            train = max(1, min(round(_TRAIN_SHARE * len(order)), len(order) - 1))
            return {clip: "train" if rank < train else "val" for rank, clip in enumerate(order.tolist())}
        frames: dict[str, int] = defaultdict(int)
        for sequence in sequences:
            frames[sequence.subject] += len(sequence.frames)
        if len(frames) < FOLDS:
            raise AvceError(f"{self.root} has clips of {len(frames)} actors; {FOLDS} folds need at least {FOLDS}.")
        folds = balanced_groups(frames, FOLDS)
        others = {actor: count for actor, count in frames.items() if folds[actor] != self.fold}
        parts = balanced_groups(others, min(_VAL_SHARES, len(others)))
        splits = {actor: "val" if part == 0 else "train" for actor, part in parts.items()}
        return {sequence.video: splits.get(sequence.subject, "test") for sequence in sequences}

    def own_folders(self) -> list[Path]:
        """The folders of the clips."""
        return [path.parent for path in self.label_files()]

    def own_pictures(self) -> Mapping[str, "pd.Series[str]"]:
        """The PNG files; "" for frames without landmarks, as there is nothing to cut them by."""
        pictures = {}
        for sequence in self.sequences:
            paths = {frame: relative(self.root, path) for frame, path in self._stills(sequence).items()}
            faceless = zip(sequence.frames.tolist(), self._landmarks[sequence.video], strict=True)
            paths |= {frame: "" for frame, points in faceless if points is None}
            pictures[sequence.video] = pd.Series(paths, dtype=object)
        return pictures

    def boxes(self, sequence: LabelledFrames, keep: NDArray[np.bool_]) -> dict[str, NDArray[np.int64]]:
        """Boxes of the data set's own pictures, in whole pixels."""
        if self.prepared is not None:
            return {}
        boxes = self._boxes(sequence)
        corners = np.array([boxes.get(frame, (0, 0, 0, 0)) for frame in sequence.frames[keep].tolist()]).reshape(-1, 4)
        columns = ("box_x", "box_y", "box_width", "box_height")
        return dict(zip(columns, corners.round().astype(np.int64).T, strict=True))

    def videos(self) -> list[VideoSource]:
        """The clips, with boxes from their landmarks."""
        sources = []
        for sequence in self.sequences:
            stills = self._stills(sequence)
            paths = [stills.get(frame, self._expected(sequence, frame)) for frame in range(max(stills, default=-1) + 1)]
            boxes = self._boxes(sequence)
            sources.append(VideoSource(sequence.video, None, len(sequence.frames), boxes, paths))
        return sources

    def findings(self) -> list[Finding]:
        """Compares JSON files and frames."""
        found: list[Finding] = []
        for sequence in self.sequences:
            pictures = numbered(self._homes[sequence.video], (".png",))
            where = relative(self.root, self._homes[sequence.video])
            if not pictures:
                found.append(Finding(True, "missing_video", where, "There are labels but no frames."))
            elif unknown := pictures.keys() - set(sequence.frames.tolist()):
                text = f"{len(sequence.frames)} rows of labels for {len(pictures)} frames; {len(unknown)} have none."
                found.append(Finding(True, "label_rows", where, text))
        missing = {clip: sum(one is None for one in points) for clip, points in self._landmarks.items()}
        found += frames_that("no_face", "have no landmarks", ".", missing)
        return found + self._unlabelled() + doubled(self.root, self.label_files())

    def _unlabelled(self) -> list[Finding]:
        """Folders beside those of the clips that are named by a number and have no JSON file."""
        clips = {path.parent for path in self.label_files()}
        beside = {Path(e.path) for place in {clip.parent for clip in clips} for e in listed(place) if e.is_dir()}
        lost = [path for path in beside - clips if len(path.name) == 3 and path.name.isdecimal()]
        text = "There are frames but no labels of this clip."
        return [Finding(True, "unlabelled_video", relative(self.root, path), text) for path in sorted(lost)]

    def _stills(self, sequence: LabelledFrames) -> dict[int, Path]:
        """Frame -> picture, for the files that exist and for those that the labels name."""
        home = self._homes[sequence.video]
        there = {number: home / name for number, name in numbered(home, (".png",)).items()}
        return {frame: self._expected(sequence, frame) for frame in sequence.frames.tolist()} | there

    def _expected(self, sequence: LabelledFrames, frame: int) -> Path:
        return self._homes[sequence.video] / f"{frame:05d}.png"

    def _boxes(self, sequence: LabelledFrames) -> dict[int, Box]:
        """Boxes of the frames that have landmarks, in pixels of the clip's frames, which are all of one size."""
        size = next((size for path in self._stills(sequence).values() if (size := _size(path))), None)
        if size is None:
            return {}
        unit = np.array(size) / GRID
        frames = zip(sequence.frames.tolist(), self._landmarks[sequence.video], strict=True)
        return {frame: _box(points * unit) for frame, points in frames if points is not None}

    @cached_property
    def _homes(self) -> dict[str, Path]:
        """Clip -> its folder; filled by `read_labels`."""
        return {}

    @cached_property
    def _landmarks(self) -> dict[str, list[NDArray[np.float64] | None]]:
        """Clip -> landmarks of its labelled frames on `GRID`, None where there are none; filled by `read_labels`."""
        return {}

    @cached_property
    def _clips(self) -> list[Path]:
        """Files ``NNN/NNN.json``, by name of the clip."""
        found: list[Path] = []
        level = [self.root] if self.root.is_dir() else []
        for _ in range(_DEPTH):
            level = [Path(entry.path) for folder in level for entry in listed(folder) if entry.is_dir()]
            level = [folder for folder in level if not HEAPS.fullmatch(folder.name)]
            clips = [folder for folder in level if (folder / f"{folder.name}.json").is_file()]
            found += [folder / f"{folder.name}.json" for folder in clips]
            level = [folder for folder in level if folder not in set(clips)]
        return sorted(found, key=lambda path: (path.stem, path))


def balanced_groups(sizes: Mapping[str, int], groups: int) -> dict[str, int]:
    """Divides names into groups of nearly equal total size: the largest first, each into the smallest group so far."""
    totals = [0] * groups
    chosen = {}
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        chosen[name] = totals.index(min(totals))
        totals[chosen[name]] += sizes[name]
    return chosen


def _read(path: Path) -> tuple[str, dict[int, dict[str, Any]]]:
    """Actor, and number -> annotation of the frames in ascending order.

    Raises:
        ValueError: the file has another form.
    """
    try:
        content = json.loads(path.read_bytes())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    frames = content.get("frames") if isinstance(content, dict) else None
    if not isinstance(frames, dict) or not all(isinstance(frame, dict) for frame in frames.values()):
        raise ValueError("it has no frames with annotations")
    if not frames or not all(key.isdecimal() for key in frames):
        raise ValueError("its frames are not called by numbers")
    actor = content.get("actor")
    if not isinstance(actor, str) or not actor.strip():
        raise ValueError("it does not name the actor, by whom the clips are split")
    return actor.strip(), {int(key): frames[key] for key in sorted(frames, key=int)}


def _cell(value: object) -> object:
    """A label as the file has it; as text where JSON holds something other than a number."""
    return value if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)) else str(value)


def _points(landmarks: object) -> NDArray[np.float64] | None:
    """68 landmarks (68, 2); ``None`` if they are missing."""
    try:
        points = np.array(landmarks, np.float64)
    except (TypeError, ValueError):
        return None
    return points if points.shape == (68, 2) and np.isfinite(points).all() else None


def _box(points: NDArray[np.float64]) -> Box:
    left, top = points.min(axis=0).tolist()
    right, bottom = points.max(axis=0).tolist()
    top = max(top - FOREHEAD * (bottom - top), 0.0)
    return Box(max(left, 0.0), top, right - max(left, 0.0), bottom - top)


def _size(path: Path) -> tuple[int, int] | None:
    """Width and height of an image file, by its header."""
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, ValueError):
        return None
