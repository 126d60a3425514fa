import pytest

from avce_pl.image.crop import Box
from avce_pl.predict.face_tracks import Tracker


def step(tracker: Tracker, boxes: list[Box], time: float, value: float = 0.0) -> list[int]:
    known = tracker.follow(boxes, time)
    return [tracker.update(t, b, time, value, 0.0).number for t, b in zip(known, boxes, strict=True)]


def test_faces_keep_their_numbers_whatever_their_order() -> None:
    tracker = Tracker(0.0)
    left, right = Box(0, 0, 40, 40), Box(100, 0, 40, 40)
    assert step(tracker, [left, right], 0.0) == [0, 1]
    assert step(tracker, [Box(105, 2, 40, 40), Box(4, 1, 40, 40)], 0.04) == [1, 0]
    assert step(tracker, [Box(110, 2, 40, 40)], 0.08) == [1]
    assert step(tracker, [Box(8, 1, 40, 40), Box(112, 2, 40, 40)], 0.12) == [0, 1], "0 was away for a moment"
    assert step(tracker, [Box(8, 1, 40, 40)], 1.5) == [2], "after a second it may be somebody else"
    assert step(tracker, [Box(300, 1, 40, 40)], 1.54) == [3]


def test_two_boxes_never_share_a_track() -> None:
    tracker = Tracker(0.0)
    step(tracker, [Box(0, 0, 40, 40)], 0.0)
    assert step(tracker, [Box(6, 0, 40, 40), Box(2, 0, 40, 40)], 0.04) == [1, 0], "the larger overlap wins"


def test_smoothing_follows_with_its_time_constant() -> None:
    tracker, box = Tracker(0.5), Box(0, 0, 40, 40)
    step(tracker, [box], 0.0, 0.0)
    for frame in range(1, 26):
        step(tracker, [box], frame / 50, 1.0)
    assert tracker.tracks[0].valence == pytest.approx(1 - 2.718281828**-1, abs=1e-6), "1 - 1/e after the time constant"
