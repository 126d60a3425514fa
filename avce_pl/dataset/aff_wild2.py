"""Aff-Wild2, as the ABAW competitions provide it: aligned crops and videos, annotated frame by frame."""

import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import ClassVar, Literal, Unpack

import numpy as np
import pandas as pd

from avce_pl.dataset.check.videos import compare_rows, frames_that, inspect_videos
from avce_pl.dataset.core.split_protocol import Finding, Protocol
from avce_pl.dataset.files.datamodule import VideoOptions
from avce_pl.dataset.files.folders import doubled, listed, relative
from avce_pl.dataset.files.reading import LabelledFrames, to_numbers
from avce_pl.dataset.files.text import read_lines
from avce_pl.dataset.files.video_datamodule import VideoDataModule
from avce_pl.dataset.files.video_folders import VIDEO_SUFFIXES, contents, named_folders, numbered
from avce_pl.dataset.files.video_source import VideoSource

_SETS = {"train": r"train(ing)?_set", "val": r"validation_set"}
_CROPS = r"cropped_aligned.*"
_NO_LABEL = -5


class AffWild2DataModule(VideoDataModule):
    """Aff-Wild2 with the owners' aligned crops, or with crops that ``avce data prepare aff_wild2`` made.

    Reads ``Train_Set/<video>.txt`` and ``Validation_Set/<video>.txt`` (a header, then a line per frame), and
    ``cropped_aligned*/<video>/00001.jpg``, wherever they lie below the root. A frame with -5 for valence or arousal
    has no label. Of two people in a video each has labels and crops of their own, ``<video>_left`` and
    ``<video>_right``. The challenge's test labels are withheld, so the validation set is the test too.

    Args:
        root: Folder of ``VA_Estimation_Challenge`` (or ``VA_Set``) and ``cropped_aligned``.
        protocol: Name of one of `protocols`.
        frames: See `VideoDataModule`.
        options: See `FileDataModule`.
    """

    protocols: ClassVar[Mapping[str, Protocol]] = {
        "aff_wild2_official": Protocol(
            "the training and validation sets of the ABAW competitions; validation is the test too, as test labels "
            "are withheld",
            {"train": 1_653_757, "val": 376_323},
            videos={"train": 356, "val": 76},
        )
    }
    request: ClassVar[str] = (
        "Aff-Wild2 is given to academics who sign the agreement at ibug.doc.ic.ac.uk/resources/aff-wild2."
    )
    no_label = "valence or arousal is -5"

    def __init__(
        self,
        root: str | None,
        protocol: Literal["aff_wild2_official"] = "aff_wild2_official",
        frames: str | None = None,
        **options: Unpack[VideoOptions],
    ) -> None:
        super().__init__(root, protocol, frames, **options)

    def label_files(self) -> list[Path]:
        """The files of both sets, training first."""
        for split, name in (("train", "Train_Set (or Training_Set)"), ("val", "Validation_Set")):
            if not self._label_files[split]:
                raise self.missing(f"a folder {name} with files of labels, <video>.txt, as in VA_Estimation_Challenge")
        return [path for paths in self._label_files.values() for path in paths]

    def read_labels(self) -> tuple[list[LabelledFrames], list[Finding]]:
        """Reads all files of labels."""
        sequences: dict[str, LabelledFrames] = {}
        problems: list[Finding] = []
        for path in self.label_files():
            where = relative(self.root, path)
            if path.stem in sequences:
                problems.append(Finding(True, "overlap", where, "There is another file of labels of this video."))
                continue
            try:
                cells = _read(path)
            except (pd.errors.EmptyDataError, pd.errors.ParserError, pd.errors.ParserWarning) as error:
                problems.append(Finding(True, "bad_label", where, f"The file cannot be read: {str(error).strip()}."))
                continue
            cells.columns = cells.columns.str.strip().str.lower()
            if not {"valence", "arousal"} <= set(cells.columns):
                text = f"The first line is {','.join(cells.columns)!r}, not 'valence,arousal'."
                problems.append(Finding(True, "bad_label", where, text))
                continue
            labels, unlabelled, sound = [], np.zeros(len(cells), bool), True
            for dimension in ("valence", "arousal"):
                unlabelled |= (pd.to_numeric(cells[dimension], errors="coerce") == _NO_LABEL).to_numpy()
            for dimension in ("valence", "arousal"):
                known = cells[dimension].mask(unlabelled, "0")
                numbers, wrong = to_numbers(known, dimension, 1, where, lambda row: f"Line {row + 2}")
                problems += wrong
                sound &= not wrong
                # A cell that is not a number is a problem, not a missing label.
                labels.append(np.where(unlabelled, np.nan, np.nan_to_num(numbers)))
            frames = np.arange(len(cells))
            sequences[path.stem] = LabelledFrames(path.stem, frames, np.stack(labels, axis=1), broken=not sound)
        return list(sequences.values()), problems

    def split(self, sequences: Sequence[LabelledFrames]) -> Mapping[str, str]:
        """The set whose folder holds the file of labels."""
        return {path.stem: split for split, paths in self._label_files.items() for path in paths}

    def own_folders(self) -> list[Path]:
        """The folders of crops of the labelled videos."""
        return [self._crops[path.stem] for path in self.label_files() if path.stem in self._crops]

    def own_pictures(self) -> Mapping[str, "pd.Series[str]"]:
        """The owners' crops: image 00001.jpg is frame 0."""
        pictures = {}
        for folder in self.own_folders():
            names = numbered(folder, (".jpg", ".jpeg", ".png"))
            place = relative(self.root, folder)
            frames = pd.Index([number - 1 for number in names], dtype=np.int64)
            pictures[folder.name] = pd.Series([f"{place}/{name}" for name in names.values()], frames, dtype=object)
        return pictures

    def videos(self) -> list[VideoSource]:
        """The labelled people, two of some videos."""
        names = {sequence.video for sequence in self.sequences}
        sources = []
        for sequence in self.sequences:
            name = sequence.video
            stem, _, side = name.rpartition("_")
            if side in ("left", "right") and name not in self._files:
                path = self._files.get(stem)
            else:
                path, side = self._files.get(name), ""
                if f"{name}_right" in names:
                    side = "left"
                elif f"{name}_left" in names:
                    side = "right"
            sources.append(VideoSource(name, path, len(sequence.labels), side=side or None))  # type: ignore[arg-type]
        return sources

    def findings(self) -> list[Finding]:
        """Compares labels, crops and videos."""
        found: list[Finding] = []
        sources = self.videos()
        crops = {video: set(paths.index) for video, paths in self.own_pictures().items()}
        counts, broken = inspect_videos(self.root, sources)
        for source in sources:
            if source.name not in crops and (crops or source.path is None):
                also = "" if source.path else " and no video"
                text = f"There are labels but no crops{also}."
                found.append(Finding(True, "missing_video", source.name, text))
        # The last crop may have a higher number than the labels; the last frames may have no face and so no crop.
        rows = {source.name: source.frames or 0 for source in sources}
        beyond = {v: last for v, frames in crops.items() if frames and (last := max(frames) + 1) > rows.get(v, 0)}
        found += broken + compare_rows(sources, beyond | counts, "frames")
        missing = {
            sequence.video: int((~np.isin(sequence.frames[~np.isnan(sequence.labels[:, 0])], list(have))).sum())
            for sequence in self.sequences
            if (have := crops.get(sequence.video))
        }
        found += frames_that("no_face", "have no crop", "cropped_aligned", missing)
        marked = {s.video: int(np.isnan(s.labels).any(axis=1).sum()) for s in self.sequences}
        found += frames_that("sentinels", "are marked with -5 as having no label", "VA_Estimation_Challenge", marked)
        found += self._stray()
        return found + doubled(self.root, self.label_files() + [folder / "1.jpg" for folder in self.own_folders()])

    def _stray(self) -> list[Finding]:
        """Files that belong to nothing."""
        places = {path.parent for path in self.label_files()} | {folder.parent for folder in self.own_folders()}
        files = [Path(entry.path) for place in sorted(places) for entry in listed(place) if entry.is_file()]
        stray = [relative(self.root, path) for path in files if path.suffix.lower() != ".txt"]
        return [Finding(False, "stray_file", path, "Belongs to nothing and is ignored.") for path in stray]

    @cached_property
    def _label_files(self) -> dict[str, list[Path]]:
        return {
            split: [path for path in contents(named_folders(self.root, pattern)) if path.suffix.lower() == ".txt"]
            for split, pattern in _SETS.items()
        }

    @cached_property
    def _crops(self) -> dict[str, Path]:
        """Video -> folder of its crops."""
        found = [path for path in contents(named_folders(self.root, _CROPS)) if path.is_dir()]
        return {path.name: path for path in reversed(found)}

    @cached_property
    def _files(self) -> dict[str, Path]:
        """Video -> file."""
        files = contents(named_folders(self.root, r"batch\d.*|videos"))
        return {path.stem: path for path in files if path.suffix.lower() in VIDEO_SUFFIXES}


def _read(path: Path) -> pd.DataFrame:
    """The cells of a file of labels."""
    text = StringIO("\n".join(read_lines(path)))
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # longer lines would lose their ends
        return pd.read_csv(text, dtype=str, keep_default_na=False, skip_blank_lines=False, index_col=False)
