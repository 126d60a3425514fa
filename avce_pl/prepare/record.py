"""What is kept of a preparation: its settings, a record per video and the summary."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from avce_pl.dataset.files.video_source import PREPARED_COLUMNS

COLUMNS = (*PREPARED_COLUMNS, "confidence")
"""Columns of the table `PREPARED`: those that readers need, and the detector's confidence."""

RECORD = "video.json"
"""The record of a video, in its folder."""

FRAMES = "frames.csv"
"""The rows of a video in the table `PREPARED`, in its folder."""

_LISTED = 20


@dataclass(frozen=True)
class PrepareSettings:
    """How the crops are made. They are written to `PREPARED_SETTINGS`; a folder holds crops of one kind.

    Attributes:
        detector: A name in `DETECTORS`, "auto" or "provided".
        margin: Share by which the square exceeds the face's box.
        size: Side of a crop in pixels.
        yunet_model: YuNet's model file; ``None`` for its usual place.
    """

    detector: str = "auto"
    margin: float = 0.3
    size: int = 224
    yunet_model: Path | None = None


@dataclass
class Record:
    """The result of one video, kept as `RECORD` in its folder.

    Attributes:
        name: Of the video.
        key: Identifies the source; when it changes, the video is prepared again.
        frames: Frames of the video, those that could not be decoded among them.
        lost: Frames that could not be decoded.
        labels: Rows of labels; None where there are none.
        faces: Crops by detector.
        bad: Pictures of a sequence of stills that are missing or broken.
        misplaced: Provided boxes that lie outside their frame.
        error: Why nothing could be prepared; "" if it could.
        table_bytes: Size of `FRAMES` beside it, to notice a damaged one.
    """

    name: str
    key: str
    frames: int = 0
    lost: int = 0
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
        if self.lost:
            return f"{self.name}: {self.lost} of {self.frames} frames cannot be decoded."
        if self.bad:
            more = f" and {len(self.bad) - 3} more" if len(self.bad) > 3 else ""
            return f"{self.name}: pictures are missing or broken: {', '.join(self.bad[:3])}{more}."
        return ""

    @property
    def remark(self) -> str:
        """What the user should know although all could be read; "" for nothing."""
        if not self.error and self.labels is not None and self.labels != self.frames:
            return f"{self.name}: {self.frames} frames for {self.labels} rows of labels."
        if self.misplaced:
            return f"{self.name}: {self.misplaced} of the boxes provided lie outside their frames or are absurd."
        return ""


@dataclass(frozen=True)
class Prepared:
    """The result of `prepare`: the table and a record per video, in the order of the sources."""

    table: Path
    records: list[Record]

    @property
    def faults(self) -> list[str]:
        """A sentence per video that could not be read, or not to its end."""
        return [record.fault for record in self.records if record.fault]

    def text(self) -> str:
        """The summary that the command prints."""
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


def read_record(folder: Path) -> Record | None:
    """Reads the record in a video's folder; ``None`` where it, or the table, is missing or damaged."""
    try:
        kept = dict(json.loads((folder / RECORD).read_text()))
        record = Record(**{key: value for key, value in kept.items() if key != "promised"})  # of version 0.1
        return record if record.table_bytes == (folder / FRAMES).stat().st_size else None
    except (OSError, ValueError, TypeError):
        return None
