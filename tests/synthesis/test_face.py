import pickle

import numpy as np
import pytest

from avce_pl.synthesis import Face, FaceStyle, sample_face
from avce_pl.synthesis.appearance import sample_identity
from avce_pl.synthesis.expression import action_units
from avce_pl.synthesis.nuisance import Nuisance, sample_nuisance


def faces(count: int = 400, **style: object) -> list[Face]:
    return [sample_face(0, subject, 3, FaceStyle(**style)) for subject in range(count)]


def test_faces_depend_on_their_three_numbers_alone() -> None:
    np.random.seed(1)  # noqa: NPY002 - the point is that the global state does not matter
    first = sample_face(4, 5, 6)
    np.random.seed(2)  # noqa: NPY002
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    second = sample_face(4, 5, 6)
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002
    assert first.nuisance == second.nuisance
    np.testing.assert_array_equal(first.intensities, second.intensities)
    for other in (sample_face(5, 5, 6), sample_face(4, 6, 6), sample_face(4, 5, 7)):
        assert other.nuisance != first.nuisance


def test_pictures_of_a_person_show_the_same_person() -> None:
    assert sample_face(0, 1, 0).identity is sample_face(0, 1, 9).identity
    assert sample_face(0, 1, 0).identity is not sample_face(0, 2, 0).identity


def test_first_picture_does_not_repeat_the_numbers_of_the_person() -> None:
    """NumPy pads seeds with zeros, so [seed, subject] and [seed, subject, 0] are one stream."""
    shape = [sample_identity(0, s).half_width for s in range(300)]
    for trait in ("yaw", "scale", "light_azimuth"):
        values = [getattr(sample_face(0, s, 0).nuisance, trait) for s in range(300)]
        assert abs(np.corrcoef(shape, values)[0, 1]) < 0.2
    valence = [sample_face(0, s, 0).valence for s in range(300)]
    assert abs(np.corrcoef(shape, valence)[0, 1]) < 0.2


def test_label_is_the_exact_feeling_plus_jitter() -> None:
    sample = faces(label_noise=0.1)
    noise = np.array([face.label - (face.valence, face.arousal) for face in sample])
    np.testing.assert_allclose(noise.std(axis=0), 0.1, atol=0.015)
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=0.015)
    assert np.abs([face.label for face in faces(label_noise=2.0)]).max() == 1
    for face in faces(20, label_noise=0.0):
        assert face.label.dtype == np.float32
        np.testing.assert_allclose(face.label, (face.valence, face.arousal), atol=1e-6)


def test_afew_va_is_annotated_in_tenths() -> None:
    labels = np.array([face.label for face in faces(100, labels="afew_va")])
    np.testing.assert_allclose(10 * labels, np.round(10 * labels), atol=1e-5)


def test_textbook_faces_have_no_habits_and_no_noise() -> None:
    face = Face.at(0, 3, 0.6, -0.2)
    np.testing.assert_array_equal(face.intensities, action_units(0.6, -0.2))
    assert face.nuisance == Nuisance()
    assert face.expression == 1
    np.testing.assert_allclose(face.label, (0.6, -0.2), atol=1e-6)


def test_faces_travel_between_processes_in_a_few_kilobytes() -> None:
    face = sample_face(1, 2, 3)
    data = pickle.dumps(face)
    assert len(data) < 3000
    copy = pickle.loads(data)
    assert copy.nuisance == face.nuisance
    assert copy.identity is face.identity


def test_level_scales_the_nuisances_and_nothing_else() -> None:
    calm, wild = faces(300, level=0.0), faces(300, level=1.0)
    assert all(face.nuisance.yaw == face.nuisance.roll == 0 for face in calm)
    assert all(face.nuisance.occluder == "none" and not face.nuisance.jpeg for face in calm)
    assert np.std([face.nuisance.yaw for face in wild]) == pytest.approx(0.24, abs=0.03)
    assert np.mean([face.nuisance.occluder != "none" for face in wild]) == pytest.approx(0.14, abs=0.05)
    assert np.mean([face.nuisance.jpeg > 0 for face in wild]) == pytest.approx(0.35, abs=0.08)
    np.testing.assert_array_equal([f.intensities for f in calm], [f.intensities for f in wild])


def test_light_and_exposure_stay_within_what_a_camera_would_take() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        nuisance = sample_nuisance(rng, 1.0)
        assert abs(nuisance.yaw) <= 0.6
        assert 0.78 <= nuisance.exposure <= 1.2
        assert 0.30 <= nuisance.ambient <= 0.75
        assert 0.9 - 0.9 * nuisance.ambient <= nuisance.key <= 1.25 - 0.9 * nuisance.ambient + 1e-9


def test_speech_and_blinks_are_rare() -> None:
    quiet = np.array([face.intensities for face in faces(1500, express=0.0, au_noise=0.0)])
    rest = np.array([sample_identity(0, subject).tonus for subject in range(1500)])
    changed = quiet - rest > 0.05
    assert changed[:, 13].mean() == pytest.approx(0.08, abs=0.03)
    assert changed[:, 15].mean() == pytest.approx(0.03, abs=0.02)
    assert not changed[:, :13].any()


def test_people_differ_within_bounds() -> None:
    people = [sample_identity(0, subject) for subject in range(400)]
    for name in ("half_width", "chin", "eye_spacing", "mouth_width", "nose_length"):
        values = np.array([getattr(person, name) for person in people])
        assert values.std() > 0.005
        assert np.abs(values - values.mean()).max() < 4 * values.std()
    assert np.mean([person.glasses != "none" for person in people]) == pytest.approx(0.20, abs=0.06)
    assert len({person.hair_style for person in people}) == 14
    assert len({person.beard for person in people}) == 5


def test_brows_are_darker_than_the_skin_they_are_on() -> None:
    for subject in range(300):
        person = sample_identity(0, subject)
        assert sum(person.brow) < 0.7 * sum(person.skin)
