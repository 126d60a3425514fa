import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avce_pl.synthesis import Face, FaceStyle, draw, render, renderer, sample_face
from avce_pl.synthesis.appearance import sample_identity
from avce_pl.synthesis.expression import ANCHORS, landmarks
from avce_pl.synthesis.nuisance import Nuisance

CALM = FaceStyle(level=0.0)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(threads)


def pictures(jobs: list[tuple[int, int]], threads: int = 1) -> list[np.ndarray]:
    cv2.setNumThreads(threads)
    return [draw(0, subject, index, 72, FaceStyle(level=1.0))[1].image for subject, index in jobs]


def gray(face: Face, size: int = 128) -> np.ndarray:
    return cv2.cvtColor(render(face, size).image, cv2.COLOR_RGB2GRAY).astype(float)


@settings(max_examples=25, deadline=None)
@given(st.integers(16, 300), st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 1), st.floats(0.8, 1.6))
def test_every_face_renders(size: int, subject: int, index: int, level: float, crop: float) -> None:
    rendered = render(sample_face(0, subject, index, FaceStyle(level=level, crop=crop)), size)
    assert rendered.image.shape == (size, size, 3)
    assert rendered.image.dtype == np.uint8
    assert rendered.landmarks.shape == (68, 2)
    assert rendered.landmarks.dtype == np.float32
    x, y, width, height = rendered.box
    assert x >= 0
    assert y >= 0
    assert 0 < width <= size - x + 1e-6
    assert 0 < height <= size - y + 1e-6


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.6, 0.0), (-2.0, 0.3), (0.1, 3.0)])
@pytest.mark.parametrize("crop", [0.5, 2.5])
def test_faces_may_stick_out_of_the_picture(crop: float, shift: tuple[float, float]) -> None:
    for subject in (4, 12, 18):  # plain, a full beard, glasses and a beard
        rendered = render(Face.at(0, subject, 0.6, 0.8, Nuisance(shift=shift, yaw=0.4), crop=crop), 96)
        assert rendered.image.shape == (96, 96, 3)
        assert min(rendered.box) >= 0


def test_all_appearances_render() -> None:
    seen = set()
    for subject in range(220):
        person = sample_identity(0, subject)
        new = {person.hair_style, f"{person.beard} beard", f"{person.glasses} glasses"} - seen
        if new:
            seen |= new
            assert render(Face.at(0, subject, 0.5, 0.5), 64).image.std() > 10
    assert len(seen) == 14 + 5 + 5


@pytest.mark.parametrize("kind", ["hand", "microphone", "bar", "card"])
def test_occluders_cover_a_part_of_the_picture(kind: str) -> None:
    for place in product((0.1, 0.9), repeat=2):
        hidden = Nuisance(occluder=kind, occluder_place=(place[0], 0.5, 0.5, place[1]))
        free, covered = (render(Face.at(0, 1, 0, 0, nuisance), 96).image for nuisance in (Nuisance(), hidden))
        changed = (free != covered).any(axis=2).mean()
        assert 0.01 < changed < 0.45


def test_pictures_are_the_same_in_every_process_and_thread() -> None:
    jobs = [(subject, index) for subject in range(4) for index in range(3)]
    here = pictures(jobs)
    backwards = pictures(jobs[::-1])[::-1]
    threaded = pictures(jobs, threads=2)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        there = pool.submit(pictures, jobs[::-1]).result()[::-1]
    for first, *others in zip(here, backwards, threaded, there, strict=True):
        for other in others:
            np.testing.assert_array_equal(first, other)


def test_draw_is_sample_and_render() -> None:
    face, rendered = draw(1, 2, 3, 48, FaceStyle())
    again = render(sample_face(1, 2, 3, FaceStyle()), 48)
    assert face.subject == 2
    np.testing.assert_array_equal(rendered.image, again.image)
    np.testing.assert_array_equal(rendered.landmarks, again.landmarks)


def test_pictures_do_not_share_memory() -> None:
    face = sample_face(0, 0, 0)
    first = render(face, 64)
    first.image[:] = 0
    assert render(face, 64).image.any()


@pytest.mark.parametrize(("yaw", "median", "worst"), [(0.0, 0.15, 0.5), (0.3, 0.2, 1.0), (-0.5, 0.3, 2.0)])
@pytest.mark.parametrize("size", [96, 224])
def test_landmarks_are_where_they_are_painted(
    yaw: float, median: float, worst: float, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paint one white dot at a time on a black head, and look for it in the picture."""
    face = Face.at(0, 4, 0.4, 0.6, Nuisance(yaw=yaw, pitch=0.1, roll=0.15, scale=1.04, shift=(0.02, -0.03)), crop=1.2)
    points = landmarks(face.identity, face.intensities)
    place = points[0]

    def dot(layers: renderer.Head, *_: object) -> tuple[np.ndarray, np.ndarray]:
        canvas = np.zeros_like(layers.skin)
        x, y = (layers.frame.pixels(place) * 16).round().astype(int)
        cv2.circle(canvas, (int(x), int(y)), int(2.5 * 16), (255, 255, 255), -1, cv2.LINE_AA, 4)
        return canvas, np.full_like(layers.cover, 255)

    monkeypatch.setattr(renderer, "_paint_head", dot)
    monkeypatch.setattr(renderer, "_paint_behind", lambda face, pose, cover, ppu: np.zeros((*cover.shape, 3), np.uint8))
    errors = []
    for k in (0, 3, 8, 13, 16, 19, 24, 30, 33, 36, 39, 42, 45, 48, 51, 54, 57, 62, 66):
        place = points[k]
        rendered = render(face, size)
        weight = rendered.image[..., 0].astype(float)
        y, x = np.mgrid[:size, :size]
        found = np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()
        errors.append(np.linalg.norm(found - rendered.landmarks[k]))
    assert np.median(errors) < median
    assert max(errors) < worst


def test_box_holds_the_face() -> None:
    face = Face.at(0, 2, 0.1, 0.1, crop=1.0)
    x, y, width, height = render(face, 200).box
    points = render(face, 200).landmarks
    assert x == pytest.approx(points[:, 0].min())
    assert x + width == pytest.approx(points[:, 0].max())
    assert y + height == pytest.approx(points[:, 1].max())
    assert y < points[:, 1].min() - 10


def test_crop_zooms() -> None:
    near, far = (render(Face.at(0, 2, 0, 0, crop=crop), 100).landmarks for crop in (1.3, 1.0))
    assert np.ptp(near[:, 0]) / np.ptp(far[:, 0]) == pytest.approx(1.3, abs=1e-3)


def test_light_comes_from_where_it_is() -> None:
    left, right, above, below = (
        gray(Face.at(0, 9, 0, 0, Nuisance(light_azimuth=azimuth, light_elevation=elevation, ambient=0.3, key=0.9)))
        for azimuth, elevation in ((-1.2, 0.2), (1.2, 0.2), (0.0, 0.9), (0.0, -0.25))
    )
    cheeks = np.s_[60:85, 30:50], np.s_[60:85, 78:98]
    assert left[cheeks[0]].mean() > 1.2 * right[cheeks[0]].mean()
    assert right[cheeks[1]].mean() > 1.2 * left[cheeks[1]].mean()
    forehead, chin = np.s_[20:30, 55:73], np.s_[104:112, 58:70]
    assert above[forehead].mean() / above[chin].mean() > below[forehead].mean() / below[chin].mean()


def test_exposure_and_gray() -> None:
    dark, bright = (gray(Face.at(0, 9, 0, 0, Nuisance(exposure=e))).mean() for e in (0.8, 1.2))
    assert bright > 1.3 * dark
    image = render(Face.at(0, 9, 0, 0, Nuisance(gray=True)), 64).image
    np.testing.assert_array_equal(image[..., 0], image[..., 2])


@pytest.mark.parametrize("change", [{"blur": 1.4}, {"downscale": 0.35}, {"jpeg": 22}, {"noise": 12.0}])
def test_camera_faults_change_the_texture_but_not_the_picture(change: dict[str, float]) -> None:
    sharp, spoilt = gray(Face.at(0, 9, 0, 0)), gray(Face.at(0, 9, 0, 0, Nuisance(**change)))
    assert np.abs(sharp - spoilt).mean() > 0.3
    assert np.corrcoef(sharp.ravel(), spoilt.ravel())[0, 1] > 0.95


def test_noise_differs_from_frame_to_frame() -> None:
    first, second = (gray(Face.at(0, 9, 0, 0, Nuisance(noise=10.0, grain=grain))) for grain in (1, 2))
    assert (
        np.corrcoef((first - gray(Face.at(0, 9, 0, 0))).ravel(), (second - gray(Face.at(0, 9, 0, 0))).ravel())[0, 1]
        < 0.3
    )


def test_expressions_can_be_told_apart_by_their_pixels() -> None:
    """On a stranger, each named expression is nearest to the same expression of another, similar, stranger."""
    names = ("happy", "surprised", "angry", "sad", "sleepy")
    shown = {
        subject: [
            gray(Face.at(0, subject, *ANCHORS[name][0], crop=1.3)) - gray(Face.at(0, subject, 0, 0, crop=1.3))
            for name in names
        ]
        for subject in (9, 47)
    }
    likeness = np.array([[np.corrcoef(a.ravel(), b.ravel())[0, 1] for b in shown[47]] for a in shown[9]])
    np.testing.assert_array_equal(likeness.argmax(axis=1), range(len(names)))


def test_eyes_follow_the_gaze() -> None:
    left, right = (gray(Face.at(0, 9, 0.1, 0.6, Nuisance(gaze=(gaze, 0.0))), 224) for gaze in (-1.0, 1.0))
    points = render(Face.at(0, 9, 0.1, 0.6), 224).landmarks
    for corners in ((36, 39), (42, 45)):
        (x0, x1), y = points[list(corners), 0].astype(int), int(points[list(corners), 1].mean())
        strip = np.s_[y - 3 : y + 3, x0 + 4 : x1 - 3]
        assert left[strip].mean(axis=0).argmin() < right[strip].mean(axis=0).argmin()


def test_resolutions_agree() -> None:
    face = replace(sample_face(0, 3, 1, CALM), crop=1.3)
    large = cv2.resize(render(face, 224).image, (64, 64), interpolation=cv2.INTER_AREA).astype(float)
    small = render(face, 64)
    assert np.corrcoef(large.ravel(), small.image.astype(float).ravel())[0, 1] > 0.95
    np.testing.assert_allclose((render(face, 224).landmarks + 0.5) * 64 / 224 - 0.5, small.landmarks, atol=0.05)
