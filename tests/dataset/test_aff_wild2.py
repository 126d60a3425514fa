import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from avce_pl.dataset.aff_wild2 import AffWild2DataModule
from avce_pl.errors import AvceError
from avce_pl.synthesis.writers import write_layout
from avce_pl.synthesis.writers.aff_wild2 import FAULTS

TRAIN = Path("VA_Estimation_Challenge/Train_Set")
VAL = Path("VA_Estimation_Challenge/Validation_Set")


def module(root: Path, **options: object) -> AffWild2DataModule:
    options = {"image_size": 32, "batch_size": 4, "num_workers": 0, "cache_dir": str(root.parent / "cache")} | options
    return AffWild2DataModule(str(root), **options)  # type: ignore[arg-type]


def complaint(root: Path, **options: object) -> str:
    with pytest.raises(AvceError) as caught:
        _ = module(root, **options).faces
    return str(caught.value)


def frames_of(data: AffWild2DataModule, video: str) -> pd.DataFrame:
    return data.index[data.index["video"] == video]


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("aff_wild2") / "data"
    write_layout("aff_wild2", folder, train=6, val=2, test=1, size=48, frames=8)
    return folder


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "data"))


def test_reads_the_official_sets(root: Path) -> None:
    data = module(root)
    assert data.test_split == "val"
    splits = data.index.groupby("split", observed=True)["video"].unique()
    assert {split: len(videos) for split, videos in splits.items()} == {"train": 8, "val": 2}
    more = 0
    for split, folder in (("train", TRAIN), ("val", VAL)):
        for file in (root / folder).glob("*.txt"):
            expected, part = pd.read_csv(file), frames_of(data, file.stem)
            assert set(part["split"]) == {split}
            np.testing.assert_allclose(part[["valence", "arousal"]], expected, atol=1e-6)
            assert [Path(path).name for path in part["path"]] == [f"{n + 1:05d}.jpg" for n in range(len(expected))]
            assert {Path(path).parent.name for path in part["path"]} == {file.stem}
            more += len(list(next(root.glob(f"cropped*/{file.stem}")).iterdir())) - len(expected)
    assert more > 0
    assert data.describe()["dropped"] == {"picture without a label": more}
    (first, *_) = data.val_dataloader()
    assert first["image"].shape[1:] == (3, 32, 32)


@pytest.mark.parametrize("row", ["-5,-5", "-5,0.100", "0.100,-5", "-5.0,0.2"])
def test_minus_five_in_either_column_drops_the_frame(root: Path, row: str) -> None:
    path = root / TRAIN / "video3.txt"
    before = frames_of(module(root), "video3")
    lines = path.read_text().splitlines()
    lines[4] = row  # the fourth frame
    path.write_text("\n".join(lines) + "\n\n")
    data = module(root)
    assert data.describe()["dropped"]["valence or arousal is -5"] == 1
    after = frames_of(data, "video3")
    assert after["frame"].tolist() == [frame for frame in before["frame"] if frame != 3]
    np.testing.assert_array_equal(after["valence"], np.delete(before["valence"].to_numpy(), 3))


def test_frames_without_a_crop_keep_the_others_in_step(root: Path) -> None:
    before = frames_of(module(root), "video3")
    for frame in (1, 4):
        (root / f"cropped_aligned/video3/{frame + 1:05d}.jpg").unlink()
    data = module(root)
    assert data.describe()["dropped"]["no picture of the frame"] == 2
    after = frames_of(data, "video3")
    kept = before[~before["frame"].isin([1, 4])]
    for column in ("frame", "path", "valence", "arousal"):
        assert after[column].tolist() == kept[column].tolist()


def test_older_and_nested_folders_hold_the_same(root: Path) -> None:
    before = module(root)
    (root / "VA_Estimation_Challenge").rename(root / "VA_Set")
    (root / "VA_Set/Train_Set").rename(root / "VA_Set/Training_Set")
    (root / "cropped_aligned").rename(root / "aside")
    (root / "cropped_aligned").mkdir()
    (root / "aside").rename(root / "cropped_aligned/cropped_aligned")
    (root / "cropped_aligned/cropped_aligned/video3/00001.jpg").rename(
        root / "cropped_aligned/cropped_aligned/video3/00001.JPG"
    )
    data = module(root)
    assert len(data.index) == len(before.index)
    np.testing.assert_array_equal(data.index["valence"].sort_values(), before.index["valence"].sort_values())
    assert {finding.kind for finding in data.findings()} == {"label_rows", "stray_file", "nested"}


def test_columns_are_found_by_name(root: Path) -> None:
    before = module(root).fingerprint
    path = root / TRAIN / "video3.txt"
    pd.read_csv(path)[["arousal", "valence"]].to_csv(path, index=False)
    assert module(root).fingerprint == before
    path.write_text("\n".join(path.read_text().splitlines()[1:]))
    assert "not 'valence,arousal'" in complaint(root)


def test_two_people_share_a_video(root: Path) -> None:
    sources = {source.name: source for source in module(root).videos()}
    sides = {name: source.side for name, source in sources.items() if source.side}
    assert sides == {"video2_left": "left", "video2_right": "right", "video6": "left", "video6_right": "right"}
    assert sources["video2_left"].path == sources["video2_right"].path == root / "batch2/video2.mp4"
    assert sources["video6"].path == sources["video6_right"].path == root / "batch3/video6.avi"
    assert sources["video3"].frames == len(pd.read_csv(root / TRAIN / "video3.txt"))
    assert all(source.stills is None and not source.boxes for source in sources.values())


def test_prepared_frames_stand_in_for_the_crops(root: Path) -> None:
    crops = module(root)
    before = len(crops.index)
    shutil.move(root / "cropped_aligned", root.parent / "prepared")
    shutil.rmtree(root / "cropped_aligned_new_50_vids")
    assert "avce data prepare aff_wild2" in complaint(root)
    index = crops.index[crops.index["path"].str.startswith("cropped_aligned/")]
    path = index["path"].str.removeprefix("cropped_aligned/")
    table = pd.DataFrame({"path": path, "video": index["video"], "frame": index["frame"]})
    table = table.assign(box_x=0, box_y=0, box_width=9, box_height=9, detector="haar")
    table.to_csv(root.parent / "prepared/prepared.csv", index=False)
    data = module(root, frames=str(root.parent / "prepared"))
    np.testing.assert_array_equal(data.index["valence"], index["valence"])
    assert data.describe()["dropped"] == {"no picture of the frame": before - len(index)}
    assert data.images[0].shape == (37, 37, 3)


def test_stride_and_cap_thin_training_videos_only(root: Path) -> None:
    every, thin = module(root), module(root, stride=2, frames_per_video=3)
    assert len(thin.faces.rows("val")) == len(every.faces.rows("val"))
    assert thin.index[thin.index["split"] == "train"].groupby("video", observed=True).size().max() == 3
    assert thin.faces.split_hash != every.faces.split_hash


def test_without_faults_there_are_only_notes(written: Path) -> None:
    findings = module(written).findings()
    assert not [finding for finding in findings if finding.fault]
    assert {finding.kind for finding in findings} == {"label_rows", "stray_file"}


def test_every_fault_is_found(tmp_path: Path) -> None:
    root = tmp_path / "spoilt"
    injected = write_layout("aff_wild2", root, "all", train=16, val=2, test=1, size=48, frames=8)
    data = module(root)
    findings = data.problems + data.findings()
    layout = set(FAULTS) - {"truncated_image", "empty_image", "duplicate_image"}  # those are found in every data set
    assert {finding.kind for finding in findings} == layout | {"stray_file"}
    faults = {finding.kind: finding for finding in findings if finding.fault}
    assert faults.keys() == layout - {"sentinels", "no_face", "nested"}
    for fault in injected:
        if fault.kind in faults:
            assert faults[fault.kind].where in (fault.path, Path(fault.path).stem), fault
    notes = {finding.kind: finding.detail for finding in findings if not finding.fault}
    assert notes["sentinels"].startswith("Labelled frames that are marked with -5 as having no label: 3, in 1 of ")
    assert notes["no_face"].startswith("Labelled frames that have no crop: 3, in 1 of ")
    text = complaint(root)
    assert "Line 5: arousal calm is not a number." in text
    assert "Line 7: arousal is missing." in text
    assert "There is another file of labels of this video." in text


def test_mistakes_are_sentences(root: Path) -> None:
    text = complaint(root / "nowhere")
    assert "There is no folder" in text
    assert "ibug.doc.ic.ac.uk/resources/aff-wild2" in text
    (root / TRAIN / "video3.txt").write_text("")
    assert "video3.txt: The file cannot be read" in complaint(root)
    (root / TRAIN / "video3.txt").write_text("valence,arousal\n0.1,0.2,0.3\n")
    assert "video3.txt: The file cannot be read" in complaint(root)
    shutil.rmtree(root / VAL)
    assert "does not hold a folder Validation_Set" in complaint(root)
