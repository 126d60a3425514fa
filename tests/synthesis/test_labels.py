import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avce_pl.synthesis.labels import EXPRESSIONS, NEUTRAL_RADIUS, PROTOTYPES, classify, sample_labels


def draws(style: str, count: int = 20_000) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.array([sample_labels(rng, style) for _ in range(count)])


@pytest.mark.parametrize(
    ("style", "mean", "deviation"),
    [
        ("affectnet", (0.19, 0.18), (0.50, 0.33)),
        ("afew_va", (0.01, 0.14), (0.26, 0.23)),
        ("aff_wild", (0.10, 0.14), (0.28, 0.29)),
        ("uniform", (0.0, 0.0), (0.5, 0.5)),
    ],
)
def test_mixtures_have_the_shape_they_mimic(
    style: str, mean: tuple[float, float], deviation: tuple[float, float]
) -> None:
    labels = draws(style)
    np.testing.assert_allclose(labels.mean(axis=0), mean, atol=0.02)
    np.testing.assert_allclose(labels.std(axis=0), deviation, atol=0.03)
    assert np.hypot(*labels.T).max() <= 1


def test_affectnet_is_mostly_pleasant() -> None:
    assert (draws("affectnet")[:, 0] > 0).mean() == pytest.approx(0.66, abs=0.02)


def test_afew_va_has_a_neutral_spike() -> None:
    assert (np.hypot(*draws("afew_va").T) < 0.15).mean() == pytest.approx(0.44, abs=0.03)


def test_uniform_fills_the_disc_evenly() -> None:
    radius = np.hypot(*draws("uniform").T)
    np.testing.assert_allclose(np.quantile(radius, [0.25, 0.5, 0.75]), np.sqrt([0.25, 0.5, 0.75]), atol=0.01)


def test_raf_keeps_its_prior_and_its_regions() -> None:
    labels = draws("raf_db", 6000)
    codes = np.array([classify(*label) for label in labels])
    share = np.bincount(codes, minlength=7) / len(codes)
    prior = np.array([2524, 4772, 1982, 1290, 281, 717, 705]) / 12271
    np.testing.assert_allclose(share, prior, atol=0.02)
    # Rejection: whoever was drawn for a class is also nearest to its prototype.
    for code in range(1, 7):
        spread = labels[codes == code] - PROTOTYPES[code]
        assert np.abs(spread.mean(axis=0)).max() < 0.08
        assert spread.std(axis=0).max() < 0.14


def test_classes_follow_affectnet() -> None:
    assert EXPRESSIONS == ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger")
    assert [classify(*prototype) for prototype in PROTOTYPES] == list(range(7))


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_classes_are_the_nearest_prototype(valence: float, arousal: float) -> None:
    code = classify(valence, arousal)
    if code == 0:
        assert np.hypot(valence, arousal) < NEUTRAL_RADIUS
    else:
        distances = np.hypot(*(np.array(PROTOTYPES[1:]) - (valence, arousal)).T)
        assert distances[code - 1] == pytest.approx(distances.min())
