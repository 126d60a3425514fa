import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from avce_pl.dataset.aff_wild2 import AffWild2DataModule
from avce_pl.dataset.core.index import FaceIndex


def index(frames: dict[str, list[int]]) -> FaceIndex:
    """A training video per name, a validation video, and two training pictures that are of no video."""
    rows = [(name, frame, "train") for name, numbers in frames.items() for frame in numbers]
    rows += [("val", frame, "val") for frame in range(7)] + [("", -1, "train")] * 2
    table = pd.DataFrame(rows, columns=["video", "frame", "split"]).assign(valence=0.1, arousal=0.2)
    table["path"] = [f"{number}.jpg" for number in range(len(table))]
    return FaceIndex.build(table.sample(frac=1, random_state=0), "test", landmarks=np.zeros((len(table), 68, 2), "f4"))


def slowly(frames: list[int], stride: int, most: int | None) -> set[int]:
    """The frames that are left of a video."""
    left = [frame for place, frame in enumerate(sorted(frames)) if place % stride == 0]
    if most is None or len(left) <= most:
        return set(left)
    if most == 1:
        return {left[0]}
    return {left[round(place * (len(left) - 1) / (most - 1))] for place in range(most)}


@settings(max_examples=40, deadline=None)
@given(
    frames=st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(0, 99), min_size=1, unique=True), min_size=1),
    stride=st.integers(1, 7),
    most=st.none() | st.integers(1, 20),
)
def test_strides_and_caps_thin_every_training_video_and_nothing_else(
    frames: dict[str, list[int]], stride: int, most: int | None
) -> None:
    data = AffWild2DataModule(".", stride=stride, frames_per_video=most)
    before = index(frames)
    after = data.subsample(before)
    for name, numbers in frames.items():
        left = after.table[after.table["video"] == name]
        wanted = slowly(numbers, stride, most)
        assert sorted(left["frame"]) == sorted(wanted)
        assert most is None or len(left) <= most
    for other in ("val", ""):
        assert (after.table["video"] == other).sum() == (before.table["video"] == other).sum()
    assert after.landmarks is not None
    assert len(after.landmarks) == len(after.table)
    places = {path: place for place, path in enumerate(before.table["path"])}
    assert np.all(np.diff([places[path] for path in after.table["path"]]) > 0), "the order is kept"
    assert (after.fingerprint == before.fingerprint) == (len(after.table) == len(before.table))
