import numpy as np
import pandas as pd
import pytest

from avce_pl.errors import AvceError
from avce_pl.runs.select_rows import evenly, numbered, peaks, spread, video_frames


def test_spread_covers_the_plane() -> None:
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 21), np.linspace(-1, 1, 21)), -1).reshape(-1, 2)
    chosen = grid[spread(grid, 9)]
    distances = np.linalg.norm(chosen[:, None] - chosen[None], axis=-1) + 9 * np.eye(9)
    assert distances.min() >= 0.99
    assert np.abs(chosen[0]).max() == 0


@pytest.mark.parametrize("count", [0, 1, 3])
def test_spread_of_few_points_takes_them_all(count: int) -> None:
    points = np.random.default_rng(0).uniform(-1, 1, (count, 2))
    assert sorted(spread(points, 10)) == list(range(count))


def test_peaks_are_the_highest_points_of_their_neighbourhood() -> None:
    time = np.arange(60)
    bumps = [(10, 0.9), (13, 0.7), (35, 0.6), (50, 0.8)]  # the second is a shoulder of the first
    strength = sum(height * np.exp(-(((time - middle) / 2.0) ** 2)) for middle, height in bumps)
    labels = np.stack([strength * 0.6, -strength * 0.8], axis=1)
    assert peaks(labels).tolist() == [10, 35, 50]
    assert peaks(labels, count=2).tolist() == [10, 50]


def test_a_video_that_only_rises_or_never_moves_has_one_peak_at_most_at_its_end() -> None:
    rising = np.stack([np.linspace(0, 0.9, 24), np.zeros(24)], axis=1)
    assert peaks(rising).tolist() == [23]
    for frames in (1, 2, 3, 24):
        chosen = peaks(np.full((frames, 2), 0.3))
        assert len(chosen) >= 1
        assert set(chosen) <= set(range(frames))


def test_the_video_that_varies_most_is_taken_in_the_order_of_its_frames() -> None:
    table = pd.DataFrame({"video": ["a"] * 3 + ["b"] * 3, "frame": [0, 1, 2, 12, 10, 11]})
    table[["valence", "arousal"]] = [[0.1, 0], [0.2, 0], [0.1, 0], [0.9, 0], [-0.9, 0], [0, 0]]
    name, positions = video_frames(table, None)
    assert (name, positions.tolist()) == ("b", [4, 5, 3])
    assert video_frames(table, "a")[1].tolist() == [0, 1, 2]
    with pytest.raises(AvceError, match=r"--video c is not a test video\. Choose one of 2, such as a, b"):
        video_frames(table, "c")
    with pytest.raises(AvceError, match="not frames of videos"):
        video_frames(table.assign(video=""), None)


def test_numbers_that_are_not_there_are_named() -> None:
    assert numbered([12, 10], np.array([10, 11, 12]), "--frames").tolist() == [2, 0]
    with pytest.raises(AvceError, match=r"--frames 13 does not exist\. Choose from the numbers 10 to 12"):
        numbered([13], np.array([10, 11, 12]), "--frames")


def test_evenly_takes_both_ends() -> None:
    assert evenly(100, 3).tolist() == [0, 50, 99]
    assert evenly(2, 10).tolist() == [0, 1]
