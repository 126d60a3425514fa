import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from avce_pl.dataset.raf_db import CODES, RafDbDataModule
from avce_pl.errors import AvceError
from avce_pl.synthesis import FaceStyle, draw
from avce_pl.synthesis.writers import FIRST_SUBJECT, LAYOUTS

TRAIN, TEST, SIZE = 60, 12, 48


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RAF-DB without a fault; not to be changed."""
    folder = tmp_path_factory.mktemp("raf_db")
    assert LAYOUTS["raf_db"].write(folder / "raf", train=TRAIN, val=0, test=TEST, size=SIZE) == []
    return folder / "raf"


@pytest.fixture
def root(clean: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(clean, tmp_path / "raf"))


def module(root: Path, **options: object) -> RafDbDataModule:
    options = {"image_size": 32, "batch_size": 4, "num_workers": 0, "cache_dir": str(root.parent / "cache")} | options
    return RafDbDataModule(str(root), **options)  # type: ignore[arg-type]


def complaint(root: Path, **options: object) -> str:
    with pytest.raises(AvceError) as caught:
        _ = module(root, **options).faces
    return str(caught.value)


def labels(root: Path) -> Path:
    return root / "basic" / "EmoLabel" / "list_patition_label.txt"


def test_every_label_is_the_one_that_was_written(clean: Path, tmp_path: Path) -> None:
    data = module(clean, cache_dir=str(tmp_path))
    assert data.task == "expression"
    assert data.describe()["rows"] == {"train": TRAIN, "val": TEST, "test": 0}
    assert data.test_split == "val"
    assert np.isnan(data.faces.labels).all()
    for row in data.index.itertuples():
        split, number = ("test", row.Index - TRAIN) if row.split == "val" else ("train", row.Index)
        face, _ = draw(0, FIRST_SUBJECT[split] + number // 5, number % 5, 32, FaceStyle(labels="raf_db"))
        assert row.expression == face.expression
        digits = 5 if split == "train" else 4
        assert row.path == f"basic/Image/aligned/{split}_{number + 1:0{digits}d}_aligned.jpg"
    assert data.images[0].shape == (37, 37, 3)
    (batch, *_) = data.train_dataloader()
    assert batch["expression"].tolist() == data.index["expression"][batch["row"].numpy()].tolist()


def test_the_codes_are_those_of_affectnet() -> None:
    raf = ["surprise", "fear", "disgust", "happy", "sad", "anger", "neutral"]
    affectnet = ["neutral", "happy", "sad", "surprise", "fear", "disgust", "anger"]
    assert {code: affectnet.index(name) for code, name in enumerate(raf, start=1)} == CODES


def test_a_tenth_of_every_class_is_held_out_whatever_the_order(root: Path) -> None:
    held = module(root, protocol="raf_db_holdout")
    official = module(root)
    rows = held.describe()["rows"]
    train = Counter(official.index["expression"][official.faces.rows("train")])
    assert rows["test"] == TEST
    assert rows["val"] == sum(round(count / 10) for count in train.values())
    assert rows["train"] == TRAIN - rows["val"]
    chosen = set(held.index["path"][held.faces.rows("val")])
    assert all("/train_" in path for path in chosen)
    assert held.faces.split_hash != official.faces.split_hash
    lines = labels(root).read_text().splitlines()
    labels(root).write_text("\n".join(reversed(lines)))
    again = module(root, protocol="raf_db_holdout", seed=3)
    assert set(again.index["path"][again.faces.rows("val")]) == chosen


def test_the_counts_of_the_protocols_are_the_published_ones() -> None:
    official, holdout = RafDbDataModule.protocols.values()
    assert official.rows == {"train": 12_271, "val": 3_068}
    assert holdout.rows["test"] == 3_068
    assert holdout.rows["train"] + holdout.rows["val"] == 12_271
    for protocol in (official, holdout):
        assert {split: sum(counts) for split, counts in protocol.classes.items()} == protocol.rows


@pytest.mark.parametrize("place", ["", "basic", "x/y/basic/basic"])
def test_the_list_is_found_wherever_it_is(root: Path, tmp_path: Path, place: str) -> None:
    codes = module(root).index["expression"].tolist()
    (tmp_path / "moved" / place).parent.mkdir(parents=True, exist_ok=True)
    shutil.move(root / "basic", tmp_path / "moved" / place)
    assert module(tmp_path / "moved").index["expression"].tolist() == codes


def test_the_right_spelling_and_a_list_beside_the_images_are_read(root: Path) -> None:
    labels(root).rename(root / "basic" / "list_partition_label.txt")
    assert module(root).describe()["rows"]["train"] == TRAIN


@pytest.mark.parametrize(
    ("fault", "train"), [("nested", 0), ("wrong_case", 0), ("duplicate_image", 0), ("overlap", 0), ("duplicate_row", 1)]
)
def test_faults_that_do_not_stop_the_training(clean: Path, tmp_path: Path, fault: str, train: int) -> None:
    LAYOUTS["raf_db"].write(tmp_path / "faulty", train=20, val=5, size=SIZE, faults=[fault])
    data = module(tmp_path / "faulty")
    assert data.describe()["rows"] == {"train": 20 + train, "val": 5, "test": 0}
    assert all((tmp_path / "faulty" / path).is_file() for path in data.index["path"])


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("label_out_of_range", "Line 1: 'train_00001.jpg 8' does not end with a label; they are 1 to 7."),
        ("bad_label", "Line 1: 'train_00001.jpg happy' does not end with a label; they are 1 to 7."),
        ("missing_image", "basic/Image/aligned/train_00001_aligned.jpg: missing"),
        ("empty_image", "basic/Image/aligned/train_00001_aligned.jpg: empty"),
        ("truncated_image", "basic/Image/aligned/train_00001_aligned.jpg: damaged or not an image"),
    ],
)
def test_faults_that_stop_the_training(tmp_path: Path, fault: str, words: str) -> None:
    LAYOUTS["raf_db"].write(tmp_path / "faulty", train=20, val=5, size=SIZE, faults=[fault])
    assert words in complaint(tmp_path / "faulty")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("train_00001.jpg", "does not end with a label"),
        ("train_00001.jpg 5 6", "does not end with a label"),
        ("train_00001.jpg ²", "does not end with a label"),
        ("valid_00001.jpg 5", "does not begin with an image"),
        ("train_/../../secret.jpg 5", "does not begin with an image"),
        ("5 train_00001.jpg", "does not begin with an image"),
    ],
)
def test_complains_about_a_line(root: Path, line: str, words: str) -> None:
    labels(root).write_text(f"train_00001.jpg 5\n\n{line}\n", encoding="utf-8")
    assert f"basic/EmoLabel/list_patition_label.txt: Line 3: {line!r} {words}" in complaint(root)


def test_what_is_missing_is_named_with_where_to_ask_for_it(root: Path, tmp_path: Path) -> None:
    assert f"There is no folder {tmp_path / 'nowhere'}" in complaint(tmp_path / "nowhere")
    text = complaint(root / "basic" / "Image")
    assert "does not hold EmoLabel/list_patition_label.txt. It holds aligned, original." in text
    assert "http://www.whdeng.cn/RAF/model1.html" in text
    (root / "basic" / "Image" / "aligned").rename(tmp_path / "away")
    assert "Unpack aligned.zip there." in complaint(root)
    labels(root).write_text("\n\n")
    (tmp_path / "away").rename(root / "basic" / "Image" / "aligned")
    assert complaint(root) == f"{labels(root)} lists no images."
    labels(root).write_bytes(b"\x89PNG\0")
    assert "Line 1: '\u2030PNG\\x00' does not begin with an image" in complaint(root)
