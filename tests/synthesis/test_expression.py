import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avce_pl.synthesis.appearance import sample_identity
from avce_pl.synthesis.expression import (
    ACTION_UNITS,
    ANCHORS,
    COLUMN,
    action_units,
    anchor_intensities,
    display,
    landmarks,
)

BROWS, EYES, MOUTH = slice(17, 27), slice(36, 48), slice(48, 68)


def disc(step: float = 0.05) -> np.ndarray:
    axis = np.arange(-1, 1 + step / 2, step)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    return points[np.hypot(*points.T) <= 1]


def only(**intensities: float) -> np.ndarray:
    """Action units by name: only(au12=1.0)."""
    vector = np.zeros(len(ACTION_UNITS))
    for name, value in intensities.items():
        vector[COLUMN[int(name[2:])]] = value
    return vector


@pytest.mark.parametrize("name", ANCHORS)
def test_map_goes_through_the_anchors(name: str) -> None:
    np.testing.assert_allclose(action_units(*ANCHORS[name][0]), anchor_intensities(name), atol=0.05)


def test_feelings_can_be_read_off_the_action_units() -> None:
    v, a = disc().T
    h = 1e-4
    jacobian = np.stack(
        [
            (action_units(v + h, a) - action_units(v - h, a)) / (2 * h),
            (action_units(v, a + h) - action_units(v, a - h)) / (2 * h),
        ],
        axis=-1,
    )
    assert np.linalg.svd(jacobian, compute_uv=False)[:, 1].min() > 0.25


def test_distant_feelings_look_different() -> None:
    points = disc(0.1)
    shown = action_units(*points.T)
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
    different = np.linalg.norm(shown[:, None] - shown[None], axis=-1)
    assert different[apart > 0.2].min() > 0.08


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_intensities_stay_in_range(valence: float, arousal: float) -> None:
    shown = action_units(valence, arousal)
    assert shown.shape == (16,)
    assert ((shown >= 0) & (shown <= 1.1)).all()
    person = display(sample_identity(0, 3), valence, arousal, 1.0)
    assert ((person >= 0) & (person <= 1.2)).all()


def test_no_expression_at_all_leaves_the_resting_face() -> None:
    identity = sample_identity(0, 5)
    np.testing.assert_allclose(display(identity, 0.75, 0.3, 0.0), identity.tonus)


@pytest.mark.parametrize("subject", range(5))
def test_symmetric_faces_are_mirror_images(subject: int) -> None:
    mirror = [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)]
    mirror += [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    mirror += [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
    points = landmarks(sample_identity(1, subject), action_units(-0.4, 0.7))
    np.testing.assert_allclose(points, points[mirror] * (-1, 1), atol=1e-12)


@pytest.mark.parametrize(
    ("unit", "moves"),
    [
        ({"au1": 1.0}, lambda p: p[[21, 22], 1].mean() - p[[17, 26], 1].mean()),  # inner brows up
        ({"au2": 1.0}, lambda p: p[[18, 25], 1].mean() - p[[21, 22], 1].mean()),  # outer brows up
        ({"au4": 1.0}, lambda p: p[22, 0] - p[21, 0]),  # brows together
        ({"au5": 1.0}, lambda p: p[[37, 38, 43, 44], 1].mean()),  # upper lids up
        ({"au6": 1.0}, lambda p: p[[40, 41, 46, 47], 1].mean()),  # lower lids up
        ({"au7": 1.0}, lambda p: p[[40, 41], 1].mean() - p[[37, 38], 1].mean()),  # eyes narrow
        ({"au9": 1.0}, lambda p: p[33, 1]),  # nose up
        ({"au10": 1.0}, lambda p: p[62, 1]),  # upper lip up
        ({"au12": 1.0}, lambda p: p[[48, 54], 1].mean()),  # corners up
        ({"au15": 1.0}, lambda p: -p[[48, 54], 1].mean()),  # corners down
        ({"au17": 1.0}, lambda p: p[8, 1]),  # chin up
        ({"au20": 1.0}, lambda p: p[48, 0] - p[54, 0]),  # mouth wide
        ({"au23": 1.0}, lambda p: p[57, 1] - p[66, 1]),  # lips thin
        ({"au25": 1.0}, lambda p: p[62, 1] - p[66, 1]),  # lips part
        ({"au26": 1.0}, lambda p: -p[8, 1]),  # chin drops
        ({"au43": 1.0}, lambda p: p[[40, 41], 1].mean() - p[[37, 38], 1].mean()),  # eyes close
    ],
)
def test_each_action_unit_does_what_it_is_called(unit: dict[str, float], moves) -> None:
    for subject in range(4):
        identity = sample_identity(2, subject)
        rest = landmarks(identity, only())
        half, full = (landmarks(identity, only(**{k: v * s for k, v in unit.items()})) for s in (0.5, 1.0))
        assert moves(full) < moves(half) < moves(rest)


def test_asymmetry_strengthens_the_image_right() -> None:
    identity = sample_identity(0, 0)
    even, uneven = (landmarks(identity, only(au12=0.6), asymmetry) for asymmetry in (0.0, 0.5))
    assert uneven[54, 1] < even[54, 1] < uneven[48, 1]


def test_grief_brow_is_high_inside_although_brows_are_lowered() -> None:
    identity = sample_identity(0, 0)
    grief, anger = landmarks(identity, only(au1=0.85, au4=0.5)), landmarks(identity, only(au4=1.0))
    assert grief[21, 1] < grief[17, 1]
    assert anger[21, 1] > anger[19, 1]


@given(st.integers(0, 10_000), st.floats(-1, 1), st.floats(-1, 1))
def test_faces_stay_in_order(subject: int, valence: float, arousal: float) -> None:
    points = landmarks(sample_identity(3, subject), action_units(valence, arousal))
    assert points[BROWS, 1].max() < points[33, 1] < points[MOUTH, 1].min() < points[8, 1]
    assert (np.diff(points[:17, 0]) > 0).all()
    assert points[62, 1] <= points[66, 1] + 1e-9
    assert (points[[38, 43], 1] < points[[40, 47], 1] + 1e-9).all()
