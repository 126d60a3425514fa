import numpy as np
import pytest

from avce_pl.report.selection import spread


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
