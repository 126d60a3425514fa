"""Data sets of labelled videos: labels of frames are joined to pictures of frames."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avce_pl.dataset.core.index import FaceIndex
from avce_pl.dataset.core.split_protocol import Finding
from avce_pl.dataset.files.datamodule import FileDataModule, VideoOptions
from avce_pl.dataset.files.messages import wrong_labels
from avce_pl.dataset.files.reading import LabelledFrames, Reading
from avce_pl.dataset.files.video_source import PREPARED, PREPARED_COLUMNS, VideoSource
from avce_pl.errors import AvceError
from avce_pl.utils.text import enumerate_names


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
    """The reason in the record of a run for leaving out a frame whose label is NaN."""

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
        """All sequences, see `avce_pl.dataset.files.video_source.VideoReader`."""

    @abstractmethod
    def findings(self) -> list[Finding]:
        """Faults of the videos, disagreements with the labels, and notes."""

    def own_folders(self) -> list[Path]:
        """The folders of the data set's own pictures of frames; the index is built again when their files change."""
        return []

    def own_pictures(self) -> Mapping[str, "pd.Series[str]"]:
        """The pictures in `own_folders`: video -> frame -> path from the root."""
        return {}

    @cached_property
    def prepared(self) -> Path | None:
        """The table of prepared frames that the pictures come from; None if the data set's own are used."""
        if self.unprepared:
            raise AvceError(self.unprepared)
        return self._table if self._table.is_file() else None

    @property
    def unprepared(self) -> str:
        """The sentence that the frames are not prepared, with the command; "" if there are pictures."""
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
        """Files of labels, and the table or the folders of the pictures."""
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
        """What is wrong with the files of labels; training does not start while there are any."""
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
        """Joins labels and pictures frame by frame; frames that are not prepared yet all count as pictures.

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
    """Names for the pictures of a sequence that is not prepared yet."""
    paths = [f"{sequence.video}/{frame:05d}.jpg" for frame in sequence.frames.tolist()]
    return pd.Series(paths, index=sequence.frames, dtype=object)


_NO_PICTURES = pd.Series([], index=pd.Index([], dtype=np.int64), dtype=object)


def read_prepared(table: Path) -> dict[str, "pd.Series[str]"]:
    """Reads the table of ``avce data prepare``: video -> frame -> path from its folder, "" where no face was found.

    Raises:
        AvceError: the table is not what ``avce data prepare`` writes.
    """
    try:
        cells = pd.read_csv(table, dtype={"path": str, "video": str}, keep_default_na=False)
        rows = cells[list(PREPARED_COLUMNS)].astype({"frame": np.int64})
    except (KeyError, ValueError, OSError) as error:
        raise AvceError(f"{table} is not a table of avce data prepare: {error}. Prepare the frames again.") from None
    if (twice := rows.duplicated(["video", "frame"])).any():
        row = rows[twice].iloc[0]
        raise AvceError(f"{table} lists frame {row['frame']} of {row['video']} twice. Prepare the frames again.")
    return {str(video): part.set_index("frame")["path"] for video, part in rows.groupby("video", sort=False)}
