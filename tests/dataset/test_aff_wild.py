import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from avce_pl.dataset.aff_wild import AffWildDataModule, read_points
from avce_pl.dataset.core.split_protocol import Finding
from avce_pl.errors import AvceError
from avce_pl.synthesis.writers import write_layout
from avce_pl.synthesis.writers.aff_wild import FAULTS

Cut = Callable[..., None]


def module(root: Path, **options: object) -> AffWildDataModule:
    options = {"image_size": 32, "batch_size": 4, "num_workers": 0, "cache_dir": str(root.parent / "cache")} | options
    return AffWildDataModule(str(root), **options)  # type: ignore[arg-type]


def complaint(root: Path, **options: object) -> str:
    with pytest.raises(AvceError) as caught:
        _ = module(root, **options).faces
    return str(caught.value)


def kinds(findings: list[Finding], fault: bool) -> set[str]:
    return {finding.kind for finding in findings if finding.fault is fault}


def labels(root: Path, name: str) -> np.ndarray:
    files = [next(root.rglob(f"{dimension}/{name}.txt")) for dimension in ("valence", "arousal")]
    return np.stack([np.loadtxt(file) for file in files], axis=1)


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("aff_wild") / "data"
    write_layout("aff_wild", folder, train=10, test=1, size=48, frames=8)
    return folder


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "data"))


@pytest.fixture
def spoilt(tmp_path: Path) -> Path:
    write_layout("aff_wild", tmp_path / "spoilt", "all", train=10, test=1, size=48, frames=12)
    return tmp_path / "spoilt"


def test_joins_labels_and_prepared_frames(root: Path, cut_provided: Cut) -> None:
    cut_provided(module(root), root / "prepared")
    data = module(root)
    rows = {split: len(data.faces.rows(split)) for split in ("train", "val", "test")}
    assert rows["train"] > rows["val"] > rows["test"] == 0
    assert data.test_split == "val"
    assert data.describe()["dropped"] == {}
    for name, part in data.index.groupby("video", observed=True):
        expected = labels(root, str(name))
        assert part["frame"].tolist() == list(range(len(expected)))
        np.testing.assert_allclose(part[["valence", "arousal"]], expected, atol=1e-6)
        assert part["path"].tolist() == [f"{name}/{frame}.jpg" for frame in range(len(expected))]
    (first, *_) = data.val_dataloader()
    assert first["image"].shape[1:] == (3, 32, 32)


def test_cached_crops_are_those_of_their_folder(root: Path, tmp_path: Path, cut_provided: Cut) -> None:
    cut_provided(module(root), tmp_path / "crops")
    shutil.copytree(tmp_path / "crops", tmp_path / "grey")
    for path in (tmp_path / "grey").rglob("*.jpg"):
        path.write_bytes(cv2.imencode(".jpg", np.full((30, 30, 3), 128, np.uint8))[1].tobytes())
    for folder in ("crops", "grey", "crops"):
        kept, plain = (module(root, frames=str(tmp_path / folder), cache_images=keep) for keep in (True, False))
        assert all((kept.images[row] == plain.images[row]).all() for row in range(len(kept.index)))
        assert (kept.images[0] == 128).all() == (folder == "grey")


def test_videos_are_split_whole_and_by_their_own_seed(root: Path, cut_provided: Cut) -> None:
    cut_provided(module(root), root / "prepared")
    splits = [module(root, split_seed=n, seed=7 * n).index.groupby("split", observed=True)["video"] for n in range(4)]
    chosen = [{split: set(videos) for split, videos in split.unique().items()} for split in splits]
    assert all(len(one["train"]) == 7 and len(one["val"]) == 3 and not one["train"] & one["val"] for one in chosen)
    assert len({frozenset(one["val"]) for one in chosen}) > 1
    hashes = [module(root, seed=seed).faces.split_hash for seed in (0, 1)]
    assert hashes[0] == hashes[1] != module(root, split_seed=1).faces.split_hash


def test_frames_elsewhere_and_nested_folders(root: Path, tmp_path: Path, cut_provided: Cut) -> None:
    cut_provided(module(root), tmp_path / "crops")
    plain = module(root, frames=str(tmp_path / "crops"))
    for part in ("annotations", "bboxes", "videos"):
        (root / part / "aside").mkdir()
        (root / part / "train").rename(root / part / "aside" / "train")
        (root / part / "aside").rename(root / part / "train")
    (root / "aff_wild_annotations_bboxes_landmarks_new").mkdir()
    (root / "annotations").rename(root / "aff_wild_annotations_bboxes_landmarks_new" / "annotations")
    nested = module(root, frames=str(tmp_path / "crops"))
    assert nested.fingerprint == plain.fingerprint
    assert kinds(nested.findings(), fault=False) == {"nested"}
    assert not kinds(nested.findings(), fault=True)
    assert [source.path.is_file() and len(source.boxes) for source in nested.videos() if source.path] == [
        len(labels(root, source.name)) for source in nested.videos()
    ]


def test_frames_without_a_face_without_a_label_and_unprepared_are_counted(root: Path, cut_provided: Cut) -> None:
    length = len(labels(root, "001"))
    for frame in (2, 5):
        (root / f"bboxes/train/001/{frame}.pts").unlink()
    cut_provided(module(root), root / "prepared")
    for dimension in ("valence", "arousal"):
        path = root / f"annotations/train/{dimension}/002.txt"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-3]))
    table = pd.read_csv(root / "prepared/prepared.csv", dtype={"video": str})
    table[~((table["video"] == "003") & (table["frame"] == 0))].to_csv(root / "prepared/prepared.csv", index=False)
    data = module(root)
    assert data.describe()["dropped"] == {
        "no face found": 2,
        "no picture of the frame": 1,
        "picture without a label": 3,
    }
    first = data.index[data.index["video"] == "001"]
    assert first["frame"].tolist() == [frame for frame in range(length) if frame not in (1, 4)]
    np.testing.assert_allclose(first["valence"], np.delete(labels(root, "001")[:, 0], [1, 4]), atol=1e-6)


def test_lines_may_follow_the_boxes(root: Path, cut_provided: Cut) -> None:
    every = labels(root, "001")
    for name in ("001", "002"):
        for frame in (2, 3, 6):
            (root / f"bboxes/train/{name}/{frame}.pts").unlink()
        kept = np.delete(labels(root, name), [1, 2, 5], axis=0)
        for dimension, column in zip(("valence", "arousal"), kept.T, strict=True):
            np.savetxt(root / f"annotations/train/{dimension}/{name}.txt", column)
    advice = [finding for finding in module(root).findings() if finding.kind == "align"]
    assert "dataset.align=bbox fits better" in advice[0].detail
    assert "label_rows" in kinds(module(root).findings(), fault=True)
    fitting = module(root, align="bbox")
    assert not {"label_rows", "align"} & {finding.kind for finding in fitting.findings()}
    cut_provided(fitting, root / "prepared")
    first = fitting.index[fitting.index["video"] == "001"]
    assert not {1, 2, 5} & set(first["frame"])
    np.testing.assert_allclose(first[["valence", "arousal"]], every[first["frame"]], atol=1e-6)


def test_without_faults_there_are_no_findings(written: Path) -> None:
    assert module(written).findings() == []


def test_every_fault_is_found(spoilt: Path) -> None:
    data = module(spoilt)
    findings = data.problems + data.findings()
    assert {finding.kind for finding in findings} == set(FAULTS)
    assert kinds(findings, fault=False) == {"no_face", "nested"}
    text = complaint(spoilt, frames=str(prepared_nothing(spoilt)))
    assert "valence/001.txt: Line 3: valence 70 is outside [-1, 1]." in text
    assert "arousal/002.txt: Line 2: arousal calm is not a number." in text
    assert "There is no arousal of 005." in text


def prepared_nothing(root: Path) -> Path:
    folder = root.parent / "nothing"
    folder.mkdir()
    (folder / "prepared.csv").write_text("path,video,frame,box_x,box_y,box_width,box_height,detector\n")
    return folder


def test_mistakes_are_sentences(root: Path, tmp_path: Path) -> None:
    assert "There is no folder" in complaint(root / "nowhere")
    assert "first-affect-wild-challenge" in complaint(root / "nowhere")
    assert "does not hold a folder annotations with files of valence and arousal" in complaint(root / "videos")
    text = complaint(root)
    assert f"avce data prepare aff_wild --root {root} --out {root / 'prepared'}" in text
    nothing = prepared_nothing(root)
    assert "No labelled frame of" in complaint(root, frames=str(nothing))
    assert "the pictures of nothing" in complaint(root, frames=str(nothing))
    (nothing / "prepared.csv").write_text("path,video,frame\n")
    assert "is not a table of avce data prepare" in complaint(root, frames=str(nothing))
    header = "path,video,frame,box_x,box_y,box_width,box_height,detector\n"
    (nothing / "prepared.csv").write_text(header + 2 * "a.jpg,001,0,0,0,1,1,haar\n")
    assert "lists frame 0 of 001 twice" in complaint(root, frames=str(nothing))
    (nothing / "prepared.csv").write_text(header + "../a.jpg,001,0,0,0,1,1,haar\n")
    assert "stay inside the root" in complaint(root, frames=str(nothing))
    (root / "annotations/train/arousal/003.txt").unlink()
    (root / "annotations/train/arousal/003.txt").mkdir()
    assert "003.txt cannot be read: Is a directory." in complaint(root, frames=str(nothing))
    (root / "annotations/train/arousal/003.txt").rmdir()
    (root / "annotations/train/arousal/001.txt").write_text("0.5\n")
    assert "lines, but 1 of arousal" in complaint(root, frames=str(nothing))


@pytest.mark.parametrize("text", ["", "version: 1\n{\n1 2\n", "{\n1 2 3\n}", "{\n1 x\n}", "{\n1 nan\n}", "{\n}"])
def test_broken_point_files_are_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "1.pts").write_text(text)
    with pytest.raises(AvceError, match=r"1\.pts is not a file of points"):
        read_points(tmp_path / "1.pts")


def test_a_cut_mp4_is_found(root: Path) -> None:
    path = root / "videos/train/001.mp4"
    path.write_bytes(path.read_bytes()[:-500])
    assert [finding.where for finding in module(root).findings()] == ["videos/train/001.mp4"]
