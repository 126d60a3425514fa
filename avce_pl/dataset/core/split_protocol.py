"""Split protocols of data sets, and findings of `avce data check`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Protocol:
    """A named way to choose and split the rows of a data set.

    Attributes:
        description: What it is, and who uses it.
        rows: Split -> rows of the real release, as far as that is known; "all" is the sum of the splits.
        classes: Split -> rows of every AffectNet code 0, 1, ... of the real release, as far as that is known.
        videos: As `rows`, for the videos (or sequences, or clips) that have labels.
    """

    description: str
    rows: Mapping[str, int] = field(default_factory=dict)
    classes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    videos: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """One finding of a check.

    Attributes:
        fault: Whether it makes the data wrong or unusable; otherwise it is a note.
        kind: A fixed name, such as "label_rows".
        where: File, folder or video, relative to the root.
        detail: A sentence.
        rows: Number of rows of labels that it is about, where it is about rows.
    """

    fault: bool
    kind: str
    where: str
    detail: str
    rows: int = 1
