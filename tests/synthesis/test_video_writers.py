import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from avce_pl.errors import AvceError
from avce_pl.synthesis.video import AFF_WILD
from avce_pl.synthesis.writers import write_layout
from avce_pl.synthesis.writers.film import record, shoot

SMALL = {"size": 64, "frames": 8}


def frames(path: Path) -> NDArray[np.uint8]:
    """All frames of a video (T, H, W, 3), RGB."""
    video, found = cv2.VideoCapture(str(path)), []
    while (read := video.read())[0]:
        found.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
    return np.stack(found)


def points(path: Path) -> NDArray[np.float64]:
    lines = path.read_text().splitlines()
    assert (lines[0], lines[2], lines[-1]) == ("version: 1", "{", "}")
    assert lines[1] == f"n_points: {len(lines) - 4}"
    return np.array([line.split() for line in lines[3:-1]], float)


def labels(path: Path) -> list[float]:
    return [float(line) for line in path.read_text().splitlines()]


def test_aff_wild(tmp_path: Path) -> None:
    write_layout("aff_wild", tmp_path / "a", train=2, val=1, test=1, **SMALL)
    root = tmp_path / "a"
    videos = {path.relative_to(root / "videos").as_posix() for path in root.glob("videos/*/*")}
    assert videos == {"train/001.mp4", "train/002.mp4", "train/003.avi", "test/004.mp4"}
    assert {path.stem for path in root.glob("annotations/train/valence/*.txt")} == {"001", "002", "003"}
    for number, name in enumerate(("001.mp4", "002.mp4", "003.avi")):
        shown = frames(root / "videos" / "train" / name)
        valence, arousal = (labels(root / f"annotations/train/{d}/{name[:3]}.txt") for d in ("valence", "arousal"))
        film = record(0, number, len(shown), AFF_WILD)
        np.testing.assert_allclose(np.stack([valence, arousal], axis=1), film.labels, atol=1e-6)
        for frame, shot in enumerate(shoot(film, 64)):
            assert shown[frame].shape == (64, 86, 3)
            # the codec stands between them; another frame of the same video is farther away than it
            assert np.abs(shown[frame].astype(int) - shot.image).mean() < 12
            box = points(root / f"bboxes/train/{name[:3]}/{frame + 1}.pts")
            landmarks = points(root / f"landmarks/train/{name[:3]}/{frame + 1}.pts")
            np.testing.assert_allclose(landmarks, shot.landmarks, atol=1e-3)
            x, y, w, h = shot.box
            np.testing.assert_allclose(box.min(axis=0), (x, y), atol=1e-3)
            np.testing.assert_allclose(box.max(axis=0), (x + w, y + h), atol=1e-3)
        assert len(list((root / f"bboxes/train/{name[:3]}").iterdir())) == len(shown) == len(valence)


def test_boxes_lie_around_the_landmarks_in_the_picture() -> None:
    for subject in range(8):
        for shot in shoot(record(0, subject, 3, AFF_WILD), 64):
            x, y, w, h = shot.box
            inside = np.clip(shot.landmarks, 0, (86, 64))
            low, high = inside.min(axis=0), inside.max(axis=0)
            assert x - 0.01 <= low[0] <= high[0] <= x + w + 0.01
            assert 0 <= y <= low[1] <= high[1] <= y + h + 0.01 <= 64.02
            assert w > 20


def test_aff_wild2(tmp_path: Path) -> None:
    root = tmp_path / "a"
    write_layout("aff_wild2", root, train=6, val=1, test=1, **SMALL)
    sets = {path.name: sorted(file.stem for file in path.glob("*.txt")) for path in root.glob("VA_*/*")}
    train = ["1-30-85x64", "4-30-85x64", "video2_left", "video2_right", "video3", "video5", "video6", "video6_right"]
    assert sets == {"Train_Set": train, "Validation_Set": ["7-30-85x64"]}
    crops = {path.name: path for path in root.glob("cropped_aligned*/*") if path.is_dir()}
    assert crops.keys() == {*train, "7-30-85x64", "video8"}
    assert crops["video5"].parent.name == "cropped_aligned_new_50_vids"
    assert (root / "cropped_aligned" / ".DS_Store").is_file()
    more = Counter[int]()
    for folder in root.glob("VA_*/*"):
        for file in folder.glob("*.txt"):
            assert file.read_text().splitlines()[0] == "valence,arousal"
            table = pd.read_csv(file)
            assert (table.round(3) == table).all(axis=None)
            names = sorted(path.name for path in crops[file.stem].iterdir())
            assert names == [f"{frame + 1:05d}.jpg" for frame in range(len(names))]
            assert cv2.imread(str(crops[file.stem] / names[0])).shape == (112, 112, 3)
            video = next(root.glob(f"batch*/{file.stem.removesuffix('_left').removesuffix('_right')}.*"))
            shown = frames(video)
            assert len(shown) == len(names)
            assert shown.shape[2] == (172 if file.stem in ("video2_left", "video6", "video6_right") else shown.shape[2])
            more[len(names) - len(table)] += 1
    assert set(more) == {0, 1}


def test_crops_of_two_people_are_of_the_person_on_that_side(tmp_path: Path) -> None:
    root = tmp_path / "a"
    write_layout("aff_wild2", root, train=2, val=0, test=0, **SMALL)
    length = len(list((root / "cropped_aligned/video2_left").iterdir()))
    eyes_and_mouth = np.array([(38, 48), (74, 48), (56, 84)], np.float32)
    expected = {}
    for side, subject in (("left", 2), ("right", 3)):
        shot = next(shoot(record(0, subject, length, AFF_WILD), 64))
        found = np.stack([shot.landmarks[part].mean(axis=0) for part in (slice(36, 42), slice(42, 48), slice(48, 60))])
        turn, _ = cv2.estimateAffinePartial2D(found, eyes_and_mouth, method=cv2.LMEDS)
        expected[side] = cv2.warpAffine(shot.image, turn, (112, 112)).astype(int)[30:90, 30:80]
    for side in expected:
        crop = cv2.imread(str(root / f"cropped_aligned/video2_{side}/00001.jpg"), cv2.IMREAD_COLOR_RGB)
        far = {name: np.abs(crop[30:90, 30:80] - one).mean() for name, one in expected.items()}
        assert min(far, key=lambda name: far[name]) == side
        assert far[side] < 25, "two points of three are met exactly here, all nearly by the writer"


def test_afew_va(tmp_path: Path) -> None:
    root = tmp_path / "a"
    write_layout("afew_va", root, train=12, val=0, **SMALL)
    clips = sorted(root.glob("*/*/*.json"))
    assert [path.relative_to(root).as_posix() for path in clips] == [
        f"{n:02d}/{n:03d}/{n:03d}.json" for n in range(1, 13)
    ]
    actors = Counter[str]()
    seen = []
    for path in clips:
        annotation = json.loads(path.read_text())
        assert annotation["video_id"] == path.stem
        actors[annotation["actor"]] += 1
        pictures = sorted(file.stem for file in path.parent.glob("*.png"))
        assert list(annotation["frames"]) == pictures == [f"{frame:05d}" for frame in range(len(pictures))]
        for frame in annotation["frames"].values():
            assert type(frame["valence"]) is type(frame["arousal"]) is int
            assert max(abs(frame["valence"]), abs(frame["arousal"])) <= 10
            grid = np.array(frame["landmarks"])
            assert grid.shape == (68, 2)
            assert grid[:, 0].mean() == pytest.approx(360, abs=120)
            assert grid[:, 1].mean() == pytest.approx(288, abs=120)
        seen.append(cv2.imread(str(path.parent / "00000.png")))
    assert sorted(actors.values()) == [3, 3, 3, 3]
    differences = [np.abs(one.astype(int) - other).mean() for n, one in enumerate(seen) for other in seen[:n]]
    assert min(differences) > 0.5, "clips of an actor are not the same pictures"


def test_too_many_faults_for_a_small_data_set(tmp_path: Path) -> None:
    with pytest.raises(AvceError, match="not enough images for that many faults"):
        write_layout("afew_va", tmp_path / "a", "all", train=5, val=0, **SMALL)
    assert not (tmp_path / "a").exists()
