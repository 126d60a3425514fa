import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from avce_pl.synthesis import FaceStyle, draw
from avce_pl.synthesis.writers import FIRST_SUBJECT, write_csv


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_lists_and_images_of_the_released_layout(tmp_path: Path) -> None:
    style = FaceStyle(level=0.2)
    write_csv(tmp_path, train=7, val=2, size=32, seed=4, style=style)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "train",
        "training_list.csv",
        "val",
        "validation_list.csv",
    ]
    for name, split, count in (("training_list.csv", "train", 7), ("validation_list.csv", "val", 2)):
        listed = rows(tmp_path / name)
        assert len(listed) == count
        for number, row in enumerate(listed):
            assert list(row) == ["subDirectory_filePath", "valence", "arousal"]
            face, rendered = draw(4, FIRST_SUBJECT[split] + number // 5, number % 5, 32, style)
            assert float(row["valence"]) == pytest.approx(face.label[0], abs=5e-4)
            assert float(row["arousal"]) == pytest.approx(face.label[1], abs=5e-4)
            image = cv2.imread(str(tmp_path / row["subDirectory_filePath"]), cv2.IMREAD_COLOR_RGB)
            assert image is not None
            lossless = row["subDirectory_filePath"].endswith(".png")
            assert np.abs(image.astype(int) - rendered.image).mean() < (1e-9 if lossless else 12)
    suffixes = {Path(row["subDirectory_filePath"]).suffix for row in rows(tmp_path / "training_list.csv")}
    assert suffixes == {".png", ".jpg"}


def test_the_other_layout_names_files_from_the_splits_folder(tmp_path: Path) -> None:
    write_csv(tmp_path, train=2, val=2, test=2, size=32, layout="fer_zoo")
    for name, split in (("training.csv", "train"), ("validation.csv", "val"), ("test.csv", "test")):
        assert all((tmp_path / split / row["subDirectory_filePath"]).is_file() for row in rows(tmp_path / name))


def test_people_of_the_splits_are_apart() -> None:
    first = sorted(FIRST_SUBJECT.values())
    assert min(np.diff(first)) >= 100_000
