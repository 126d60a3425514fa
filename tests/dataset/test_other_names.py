import os
import unicodedata
from pathlib import Path

import pandas as pd
import pytest

from avce_pl.dataset.csv import CsvDataModule
from avce_pl.dataset.files.other_names import other_names


@pytest.mark.parametrize(
    ("there", "listed"),
    [
        ("a/x.jpg", "a/x.JPG"),
        ("a/x.jpg", "A/X.jpg"),
        ("a/x.jpg", "a/x.png"),
        ("a/x.jpg", "a/x"),
        ("a/x.y.jpeg", "a/X.y.PNG"),
        (unicodedata.normalize("NFD", "Zo\u00eb/M\u00fcller.jpg"), "Zo\u00eb/M\u00fcller.jpg"),
        (
            unicodedata.normalize("NFC", "Zo\u00eb/M\u00fcller.jpg"),
            unicodedata.normalize("NFD", "zo\u00cb/m\u00fcller.png"),
        ),
    ],
)
def test_a_file_is_found_under_another_name(tmp_path: Path, there: str, listed: str) -> None:
    (tmp_path / there).parent.mkdir()
    (tmp_path / there).touch()
    assert other_names(tmp_path, pd.Series([listed], [7])) == {7: there}


@pytest.mark.parametrize("listed", ["a/x.txt", "a/y.jpg", "a/xx.jpg", "b/x.jpg", "a/x.jpg/x.jpg", "x.jpg", "a/n.jpg"])
def test_no_other_file_is_taken(tmp_path: Path, listed: str) -> None:
    (tmp_path / "a").mkdir()
    for name in ("x.jpg", "n.png", "n.webp", "._y.jpg"):
        (tmp_path / "a" / name).touch()
    assert other_names(tmp_path, pd.Series([listed])) == {}


def test_a_file_that_the_list_names_itself_is_not_taken(root: Path) -> None:
    os.rename(root / "train" / "000003.jpg", root / "away.jpg")
    path = root / "training_list.csv"
    path.write_text(path.read_text().replace("train/000003.jpg", "train/000002.jpg"))
    data = CsvDataModule(str(root), cache_dir=str(root.parent / "cache"), on_bad_image="skip")
    assert data.bad_images == {"missing": 1}


def test_lists_whose_images_lie_under_train_are_found_under_other_names(root: Path) -> None:
    path = root / "training_list.csv"
    path.write_text(path.read_text().replace("train/", "").replace(".png", ".PNG").replace(".jpg", ".jpeg"))
    data = CsvDataModule(str(root), cache_dir=str(root.parent / "cache"))
    assert sorted(data.index["path"])[:2] == ["train/000000.png", "train/000001.jpg"]
