"""The interface between readers of videos and ``avce data prepare``.

Frames are counted from 0, whatever the data set's own files do: frame i is the i-th picture of the video and the
i-th row of its labels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from avce_pl.image.crop import Box

PREPARED = "prepared.csv"
"""The table in a folder of prepared frames: a line per decoded frame, with or without a face."""

PREPARED_SETTINGS = "prepared.json"
"""The file beside it that says how the crops were made; `margin` is null where the detector adds none."""

PREPARED_COLUMNS = ("path", "video", "frame", "box_x", "box_y", "box_width", "box_height", "detector")
"""Its columns: `path` of the crop, relative to the table's folder, empty where no face was found; `video` is
`VideoSource.name`; `frame` from 0; the box that was found, in pixels of the frame; the detector's name."""


@dataclass(frozen=True)
class VideoSource:
    """One labelled sequence of frames.

    Attributes:
        name: Unique in the data set, and fit for a folder's name.
        path: The video file; None where the frames are `stills`.
        frames: Number of rows in its labels; None where it has none.
        boxes: The data set's own boxes: frame -> box. Frames without one have no face that the owners found.
        stills: The pictures of frame 0, 1, ...; a file that does not exist is a missing frame.
        side: Which of two people in the video the labels are of, as seen in the picture; None for the only one.
    """

    name: str
    path: Path | None
    frames: int | None
    boxes: Mapping[int, Box] = field(default_factory=dict)
    stills: Sequence[Path] | None = None
    side: Literal["left", "right"] | None = None


@runtime_checkable
class VideoReader(Protocol):
    """A data set with videos, which ``avce data prepare`` can prepare."""

    def videos(self) -> list[VideoSource]:
        """All sequences that are found, in a fixed order.

        Raises:
            AvceError: the data set is missing.
        """
