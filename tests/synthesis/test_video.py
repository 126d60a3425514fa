import numpy as np
import pytest

from avce_pl.synthesis import FaceStyle, render
from avce_pl.synthesis.expression import COLUMN
from avce_pl.synthesis.video import sample_video


def test_feelings_have_the_shape_of_aff_wild() -> None:
    feelings = np.concatenate([sample_video(0, subject, 900).feelings for subject in range(120)])
    np.testing.assert_allclose(feelings.mean(axis=0), (0.10, 0.14), atol=0.04)
    np.testing.assert_allclose(feelings.std(axis=0), (0.28, 0.29), atol=0.05)
    assert np.hypot(*feelings.T).max() <= 1 + 1e-9


def test_feelings_move_smoothly_and_people_differ() -> None:
    videos = [sample_video(0, subject, 600) for subject in range(20)]
    speed = np.abs(np.diff(np.stack([video.feelings for video in videos]), axis=1)).max()
    assert 0.01 < speed < 0.25
    assert np.std([video.feelings[:, 0].mean() for video in videos]) > 0.05


def test_labels_drift_slowly_about_the_feelings() -> None:
    errors = np.stack([(v := sample_video(0, subject, 900)).labels - v.feelings for subject in range(40)])
    assert errors.std() == pytest.approx(0.08, abs=0.02)
    late = np.corrcoef(errors[:, 300, 0], errors[:, 315, 0])[0, 1]
    far = np.corrcoef(errors[:, 100, 0], errors[:, 700, 0])[0, 1]
    assert late > 0.2 > far


def test_videos_are_reproducible_and_of_any_length() -> None:
    first, second = sample_video(1, 2, 50), sample_video(1, 2, 50)
    np.testing.assert_array_equal(first.labels, second.labels)
    np.testing.assert_array_equal(first.pose, second.pose)
    assert first.nuisance == second.nuisance
    assert len(sample_video(0, 0, 1)) == 1
    assert sample_video(0, 0, 7).labels.shape == (7, 2)


def test_faces_of_a_video_show_its_labels() -> None:
    video = sample_video(0, 3, 120)
    for frame in (0, 60, 119):
        face = video.face(frame)
        np.testing.assert_array_equal(face.label, video.labels[frame])
        assert (face.valence, face.arousal) == tuple(video.feelings[frame])
        assert abs(face.nuisance.yaw) <= 0.6
        assert render(face, 64).image.std() > 5
    assert video.face(0).nuisance.background == video.face(119).nuisance.background
    assert video.face(0).nuisance.grain != video.face(119).nuisance.grain


def test_neighbouring_frames_look_alike() -> None:
    video = sample_video(0, 9, 60, style=FaceStyle(labels="aff_wild", level=0.3))
    landmarks = np.stack([render(video.face(frame), 64).landmarks for frame in range(20)])
    still = np.array([video.blink[frame] < 0.02 for frame in range(20)])
    step = np.abs(np.diff(landmarks, axis=0)).max(axis=(1, 2))
    assert step[still[1:] & still[:-1]].max() < 2.0


def test_eyes_blink_every_few_seconds() -> None:
    closed = [np.diff((sample_video(0, subject, 1800).blink > 0.5).astype(int)).clip(0).sum() for subject in range(20)]
    assert 60 / 6 < np.mean(closed) < 60 / 2.5
    video = sample_video(0, 0, 1800)
    frame = int(video.blink.argmax())
    assert video.face(frame).intensities[COLUMN[43]] > 0.9


def test_afew_va_videos_are_annotated_in_tenths() -> None:
    labels = sample_video(0, 0, 100, style=FaceStyle(labels="afew_va", label_noise=0.0)).labels
    np.testing.assert_allclose(10 * labels, np.round(10 * labels), atol=1e-5)
