"""Labels as readers give them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avce_pl.dataset.core.index import FaceIndex
from avce_pl.dataset.core.split_protocol import Finding


@dataclass(frozen=True)
class Reading:
    """The labels of a data set.

    Attributes:
        index: The rows that could be read.
        problems: What is wrong with the others; training does not start while there are any.
        places: Reason for leaving rows out (`FaceIndex.dropped`) -> where the first of them are.
    """

    index: FaceIndex
    problems: Sequence[Finding] = ()
    places: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class LabelledFrames:
    """The labels of one sequence of frames.

    Attributes:
        video: Its name.
        frames: Numbers of the frames (n,), ascending from 0.
        labels: Valence and arousal (n, 2) in [-1, 1]; NaN where the owners mark the label as missing.
        subject: Who it is, "" unknown.
        broken: Whether a line has a problem; then no line is used.
    """

    video: str
    frames: NDArray[np.int64]
    labels: NDArray[np.float64]
    subject: str = ""
    broken: bool = False


def to_numbers(
    cells: "pd.Series[Any]", name: str, limit: float, where: str, place: Callable[[int], str]
) -> tuple[NDArray[np.float64], list[Finding]]:
    """Labels as numbers, and what is wrong with them: one finding for each kind of fault, with the first place.

    Args:
        cells: As they are in the file; ``None`` or "" where there is none.
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
