import cv2
import numpy as np
import pytest

from avce_pl.explain.regions import REGIONS, SIDE, areas, region_map, shares
from avce_pl.synthesis import FaceStyle, render, sample_face


@pytest.fixture(params=range(4))
def landmarks(request: pytest.FixtureRequest) -> np.ndarray:
    return render(sample_face(3, request.param, 1, FaceStyle(level=0.5)), 224).landmarks


def test_parts_lie_where_the_landmarks_say(landmarks: np.ndarray) -> None:
    parts = region_map(landmarks, 224)
    middles = {"eyes": (36, 42), "mouth": (48, 68), "nose": (30, 31), "brows": (19, 20)}
    for name, (first, last) in middles.items():
        x, y = (landmarks[first:last].mean(axis=0) * SIDE / 224).round().astype(int)
        assert REGIONS[parts[y, x]] == name
    cheek = (landmarks[2] + landmarks[31]) / 2
    x, y = (cheek * SIDE / 224).round().astype(int)
    assert REGIONS[parts[y, x]] == "rest of the face"
    assert REGIONS[parts[0, 0]] == "outside"
    found = areas(parts)
    assert found.sum() == pytest.approx(1)
    assert all(0.02 < share < 0.1 for share in found[2:])


def test_parts_do_not_depend_on_the_size_of_the_image(landmarks: np.ndarray) -> None:
    half = (landmarks + 0.5) / 2 - 0.5
    assert np.mean(region_map(landmarks, 224) != region_map(half, 112)) < 0.002


def test_shares_of_known_maps(landmarks: np.ndarray) -> None:
    parts = region_map(landmarks, 224)
    mouth = (parts == REGIONS.index("mouth")).astype(np.float32)
    maps = np.stack([np.ones_like(mouth), mouth, np.zeros_like(mouth)])
    uniform, on_mouth, nothing = shares(maps, parts)
    np.testing.assert_allclose(uniform, areas(parts), rtol=1e-5)
    assert on_mouth[REGIONS.index("mouth")] == pytest.approx(1)
    assert np.isnan(nothing).all()
    # a coarse map: one cell of nine, stretched as pictures are
    coarse = np.zeros((1, 3, 3), np.float32)
    coarse[0, 2, 1] = 1
    fine = cv2.resize(coarse[0], (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    expected = [fine[parts == code].sum() / fine.sum() for code in range(len(REGIONS))]
    np.testing.assert_allclose(shares(coarse, parts)[0], expected, rtol=1e-4)
