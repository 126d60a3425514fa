"""Between the readers of video data sets and ``avce data prepare``: what there is to prepare, and what was prepared.

Frames are counted from 0 here, whatever the data set's own files do: frame i is the i-th picture of the video and the
i-th row of its labels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

Box = tuple[float, float, float, float]
"""x and y of the left top corner, width and height of a face, in pixels of its frame."""

PREPARED = "prepared.csv"
"""The table in a folder of prepared frames: a line per frame that was looked at, faces or not."""

PREPARED_SETTINGS = "prepared.json"
"""Beside it: how the crops were made, with their `margin`."""

PREPARED_COLUMNS = ("path", "video", "frame", "box_x", "box_y", "box_width", "box_height", "detector")
"""Its columns: `path` of the crop, relative to the table's folder, empty where no face was found; `video` is
`VideoSource.name`; `frame` from 0; the box that was found, in pixels of the frame; which detector found it."""


@dataclass(frozen=True)
class VideoSource:
    """One labelled sequence of frames.

    Attributes:
        name: Unique in the data set, and fit for a folder's name.
        path: The video file; None where the frames are `stills`.
        frames: Number of rows in its labels; None where it has none.
        boxes: The data set's own boxes: frame -> box. A frame without one has no face that the owners found.
        stills: The pictures of frame 0, 1, ...; one that is not there is a frame that is missing.
        side: Which of two people in the video the labels are of, as seen in the picture; None for the only one.
    """

    name: str
    path: Path | None
    frames: int | None
    boxes: Mapping[int, Box] = field(default_factory=dict)
    stills: Sequence[Path] | None = None
    side: Literal["left", "right"] | None = None


class VideoReader(Protocol):
    """A data set whose videos can be prepared."""

    def videos(self) -> list[VideoSource]:
        """All sequences that can be found, in a fixed order.

        Raises:
            AvceError: the data set is not where it was looked for.
        """
