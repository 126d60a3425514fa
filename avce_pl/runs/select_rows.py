"""The choice of faces to show: spread over the plane, evenly over the rows, or at emotional peaks of a video."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avce_pl.errors import AvceError

_PEAKS = 6


def spread(points: NDArray[np.floating], count: int) -> NDArray[np.int64]:
    """Chooses points far from each other: (N, 2) -> at most `count` positions, the first the one nearest to 0."""
    if len(points) == 0:
        return np.empty(0, dtype=np.int64)
    chosen = [int(np.argmin(np.sum(points**2, axis=1)))]
    distance = np.full(len(points), np.inf)
    while len(chosen) < min(count, len(points)):
        distance = np.minimum(distance, np.sum((points - points[chosen[-1]]) ** 2, axis=1))
        chosen.append(int(np.argmax(distance)))
    return np.array(chosen)


def evenly(total: int, count: int) -> NDArray[np.int64]:
    """At most `count` positions, evenly over 0 to `total` - 1."""
    return np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(np.int64))


def video_frames(table: pd.DataFrame, video: str | None) -> tuple[str, NDArray[np.int64]]:
    """The frames of a test video, in order.

    Args:
        table: predictions, one row per face.
        video: its name; the one whose labels vary most if None.

    Returns:
        The name, and the positions of its frames in the table.

    Raises:
        AvceError: there is no such video.
    """
    names = table["video"].astype(str)
    known = names[names != ""]
    if known.empty:
        raise AvceError(
            "The test faces are not frames of videos. Give runs on videos, such as dataset=synthetic_video or aff_wild."
        )
    if video is None:
        varied = table.loc[known.index, ["valence", "arousal"]].groupby(known).var(ddof=0).sum(axis=1)
        video = str(varied.idxmax())
    positions = np.flatnonzero(names == video)
    if not len(positions):
        there = ", ".join(known.unique()[:12])
        raise AvceError(f"--video {video} is not a test video. Choose one of {known.nunique():,}, such as {there}.")
    order = np.argsort(table["frame"].to_numpy()[positions], kind="stable")
    return video, positions[order]


def peaks(labels: NDArray[np.floating], count: int = _PEAKS) -> NDArray[np.int64]:
    """The emotional peaks of a video: frames that are the furthest from neutral in their neighbourhood.

    The neighbourhood reaches a twelfth of the video to both sides, and two peaks are further apart. The ends of a video
    are not peaks, as the frames beyond them are unknown.

    Args:
        labels: (T, 2) valence and arousal, in order.
        count: most frames to choose.

    Returns:
        Positions in ascending order; at least one.
    """
    strength = np.hypot(*labels.astype(np.float64).T)
    reach = max(1, len(strength) // 12)
    chosen: list[int] = []
    for frame in np.argsort(-strength, kind="stable").tolist():
        highest = strength[frame] >= strength[max(0, frame - reach) : frame + reach + 1].max()
        if 0 < frame < len(strength) - 1 and highest and all(abs(frame - other) > reach for other in chosen):
            chosen.append(frame)
    return np.array(sorted(chosen[:count]) or [int(strength.argmax())])


def numbered(wanted: Sequence[int], known: NDArray[np.integer], option: str) -> NDArray[np.int64]:
    """Positions of the wanted numbers among the known ones, in the order given.

    Raises:
        AvceError: one is not among them.
    """
    places = {int(number): position for position, number in enumerate(known)}
    if missing := [number for number in wanted if number not in places]:
        raise AvceError(
            f"{option} {missing[0]} does not exist. Choose from the numbers {known.min()} to {known.max()}."
        )
    return np.array([places[number] for number in wanted])
