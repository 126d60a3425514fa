import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avce_pl.dataset.afew_va import AfewVaDataModule, balanced_groups
from avce_pl.errors import AvceError
from avce_pl.synthesis.writers import write_layout
from avce_pl.synthesis.writers.afew_va import FAULTS

Cut = Callable[..., None]


def module(root: Path, **options: object) -> AfewVaDataModule:
    options = {"image_size": 32, "batch_size": 4, "num_workers": 0, "cache_dir": str(root.parent / "cache")} | options
    return AfewVaDataModule(str(root), **options)  # type: ignore[arg-type]


def complaint(root: Path, **options: object) -> str:
    with pytest.raises(AvceError) as caught:
        _ = module(root, **options).faces
    return str(caught.value)


def clip(root: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(next(root.rglob(f"{name}.json")).read_text())
    return content


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("afew_va") / "data"
    write_layout("afew_va", folder, train=24, val=0, size=48, frames=5)
    return folder


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "data"))


def test_reads_clips_and_divides_labels_by_ten(written: Path) -> None:
    data = module(written)
    assert len(data.index["video"].unique()) == 24
    for name, part in data.index.groupby("video", observed=True):
        annotation = clip(written, str(name))
        frames = annotation["frames"].values()
        assert set(part["subject"]) == {annotation["actor"]}
        assert part["frame"].tolist() == list(range(len(frames)))
        np.testing.assert_allclose(10 * part["valence"], [frame["valence"] for frame in frames], atol=1e-5)
        np.testing.assert_allclose(10 * part["arousal"], [frame["arousal"] for frame in frames], atol=1e-5)
        assert [Path(path).stem for path in part["path"]] == list(annotation["frames"])
    assert data.describe()["dropped"] == {}
    (first, *_) = data.test_dataloader()
    assert first["image"].shape[1:] == (3, 32, 32)


def test_boxes_are_in_pixels_although_landmarks_are_on_a_grid(written: Path) -> None:
    for row in module(written).index.itertuples():
        height, width = cv2.imread(str(written / row.path)).shape[:2]
        grid = np.array(clip(written, row.video)["frames"][f"{row.frame:05d}"]["landmarks"])
        x, y = (grid * (width / 720, height / 576)).T
        assert row.box_x == pytest.approx(max(x.min(), 0), abs=1)
        assert row.box_x + row.box_width == pytest.approx(x.max(), abs=2)
        assert row.box_y < y.min() + 1  # with the forehead
        assert row.box_y + row.box_height == pytest.approx(y.max(), abs=2)


def test_nobody_is_in_two_splits_and_everybody_is_tested_once(written: Path) -> None:
    tested: list[str] = []
    hashes = set()
    for fold in range(5):
        data = module(written, fold=fold)
        people = {s: set(part["subject"]) for s, part in data.index.groupby("split", observed=True)}
        assert people.keys() == {"train", "val", "test"}
        assert not people["train"] & people["val"] | people["train"] & people["test"] | people["val"] & people["test"]
        tested += people["test"]
        hashes.add(data.faces.split_hash)
        assert data.test_split == "test"
    assert sorted(tested) == sorted(module(written).index["subject"].unique())
    assert len(hashes) == 5


def test_the_legacy_protocol_leaks_and_says_so(written: Path) -> None:
    data = module(written, protocol="afew_va_clip_random_legacy")
    people = {s: set(part["subject"]) for s, part in data.index.groupby("split", observed=True)}
    assert people["train"] & people["val"]
    clips = {s: set(part["video"]) for s, part in data.index.groupby("split", observed=True)}
    assert not clips["train"] & clips["val"]
    assert len(clips["train"]) == 19
    assert data.describe()["protocol"] == "afew_va_clip_random_legacy"
    assert "LEAKS" in data.protocols["afew_va_clip_random_legacy"].description


@given(st.dictionaries(st.text(min_size=1), st.integers(1, 100), min_size=5, max_size=40))
def test_groups_are_nearly_equal(sizes: dict[str, int]) -> None:
    groups = balanced_groups(sizes, 5)
    assert groups.keys() == sizes.keys()
    totals = [sum(sizes[name] for name in groups if groups[name] == group) for group in range(5)]
    assert min(totals) > 0
    # What was put last into the largest group went into the smallest of that time.
    assert max(totals) - min(totals) <= max(sizes.values())
    assert groups == balanced_groups(dict(reversed(sizes.items())), 5)


def test_clips_side_by_side_and_repacked_siblings(root: Path) -> None:
    before = module(root)
    for place in sorted(path for path in root.iterdir() if path.is_dir()):
        for home in place.iterdir():
            home.rename(root / home.name)
        place.rmdir()
    (root / "001_cropped").mkdir()
    shutil.copy(root / "001/00000.png", root / "001_cropped/00000.jpg")
    shutil.copy(root / "001/00000.png", root / "001/00000.jpg")
    data = module(root)
    np.testing.assert_array_equal(data.index["valence"], before.index["valence"])
    assert {path.count("/") for path in data.index["path"]} == {1}
    assert data.findings() == []
    shutil.copytree(root / "001", root / "700")
    (root / "700/001.json").unlink()
    assert [(finding.kind, finding.where) for finding in module(root).findings()] == [("unlabelled_video", "700")]


def test_missing_pictures_and_landmarks(root: Path) -> None:
    home = next(root.rglob("003.json")).parent
    annotation = clip(root, "003")
    annotation["frames"]["00001"]["landmarks"] = []
    (home / "003.json").write_text(json.dumps(annotation))
    assert module(root).describe()["dropped"] == {"no face found": 1}
    (home / "00002.png").unlink()
    assert f"{home.relative_to(root)}/00002.png: missing" in complaint(root)
    data = module(root, on_bad_image="skip")
    assert data.describe()["bad_images"] == {"missing": 1}
    assert not {1, 2} & set(data.index[data.index["video"] == "003"]["frame"])
    source = next(source for source in data.videos() if source.name == "003")
    assert source.path is None
    assert [path.name for path in source.stills or ()] == [f"{frame}.png" for frame in annotation["frames"]]
    assert 1 not in source.boxes
    assert 2 in source.boxes


def test_prepared_frames_are_used_when_they_are_there(root: Path, cut_provided: Cut) -> None:
    before = module(root)
    cut_provided(before, root / "prepared")
    (root / "prepared/prepared.json").write_text("{}")  # no clip, though it is called like its folder
    data = module(root)
    assert data.index["path"].tolist()[0] == "001/0.jpg"
    np.testing.assert_array_equal(data.index["valence"], before.index["valence"])
    assert not data.index[["box_width", "box_height"]].to_numpy().any()
    assert np.abs(data.images[0].astype(int) - before.images[0]).mean() < 12


def test_without_faults_there_are_no_findings(written: Path) -> None:
    assert module(written).findings() == []


def test_every_fault_is_found(tmp_path: Path) -> None:
    root = tmp_path / "spoilt"
    injected = write_layout("afew_va", root, "all", train=15, val=0, size=48, frames=8)
    data = module(root)
    findings = data.problems + data.findings()
    layout = set(FAULTS) - {"missing_image", "truncated_image", "empty_image", "duplicate_image"}
    assert {finding.kind for finding in findings} == layout
    faults = {finding.kind: finding for finding in findings if finding.fault}
    assert faults.keys() == layout - {"no_face", "nested"}
    for fault in injected:
        if fault.kind in faults:
            assert faults[fault.kind].where.startswith(fault.path.rpartition("/")[0]), fault
    text = complaint(root)
    assert "Frame 00003: valence 70 is outside [-10, 10]." in text
    assert "Frame 00004: arousal is missing." in text
    assert "The clip is also in " in text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "Expecting value"),
        ("[]", "it has no frames with annotations"),
        ('{"actor": "A", "frames": {}}', "its frames are not called by numbers"),
        ('{"actor": "A", "frames": {"a": {}}}', "its frames are not called by numbers"),
        ('{"actor": "A", "frames": {"0": 1}}', "it has no frames with annotations"),
        ('{"actor": " ", "frames": {"0": {}}}', "it does not name the actor"),
        ('{"frames": {"0": {}}}', "it does not name the actor"),
        ("[" * 100_000, "it is nested too deeply"),
        ('{"actor": "A", "frames": {"00000": {"valence": true, "arousal": 1}}}', "valence True is not a number"),
        ('{"actor": "A", "frames": {"00000": {"valence": [1], "arousal": 1}}}', "valence [1] is not a number"),
        ('{"actor": "A", "frames": {"00000": {"valence": NaN, "arousal": 1}}}', "valence is missing"),
        ('{"actor": "A", "frames": {"00000": {"valence": 1e999, "arousal": 1}}}', "valence inf is not a number"),
        ('{"actor": "A", "frames": {"00000": {"valence": -10.5, "arousal": 1}}}', "valence -10.5 is outside"),
    ],
)
def test_broken_annotations_are_named(root: Path, content: str, words: str) -> None:
    path = next(root.rglob("003.json"))
    path.write_text(content)
    text = complaint(root)
    assert words in text
    assert f"{path.relative_to(root)}: " in text


def test_mistakes_are_sentences(root: Path, tmp_path: Path) -> None:
    assert "There is no folder" in complaint(root / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "does not hold clips, NNN/NNN.json" in complaint(tmp_path / "empty")
    assert "afew-va-database" in complaint(tmp_path / "empty")
    for place in sorted(path for path in root.iterdir() if path.is_dir())[5:]:
        shutil.rmtree(place)
    assert "5 folds need at least 5" in complaint(root)
