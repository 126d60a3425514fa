import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Unpack

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from avce_pl.cli.main import app
from avce_pl.dataset.check import check as examination
from avce_pl.dataset.check.check import CheckUp, check
from avce_pl.dataset.check.samples import REGIONS
from avce_pl.dataset.check.statistics import BINS
from avce_pl.dataset.core.index import FaceIndex
from avce_pl.dataset.core.split_protocol import Finding, Protocol
from avce_pl.dataset.csv import CsvDataModule
from avce_pl.dataset.files.datamodule import FileDataModule, VideoOptions
from avce_pl.dataset.files.reading import Reading
from avce_pl.errors import AvceError
from avce_pl.report.pages.check import check_page


class Listed(FileDataModule):
    """Reads every column of the index from index.csv."""

    protocols: ClassVar[Mapping[str, Protocol]] = {
        "listed": Protocol("as listed", {"train": 10, "val": 4}, {"train": [4, 6]}, {"train": 2, "all": 9})
    }

    def __init__(self, root: str, protocol: Literal["listed"] = "listed", **options: Unpack[VideoOptions]) -> None:
        super().__init__(root, protocol, **options)

    def annotations(self) -> list[Path]:
        return [self.root / "index.csv"]

    def settings(self) -> dict[str, Any]:
        return {}

    def read(self) -> Reading:
        table = pd.read_csv(self.root / "index.csv", dtype={"subject": str, "video": str})
        index = FaceIndex.build(table.fillna({"subject": "", "video": ""}), "listed", {"sentinel -5": 3})
        return Reading(index, places={"sentinel -5": "line 7"})

    def findings(self) -> list[Finding]:
        return [Finding(True, "label_rows", "v1", "9 rows of labels for 8 frames.")]


@pytest.fixture
def listed(root: Path) -> pd.DataFrame:
    """12 + 6 rows in three videos; the twelve images of training and the six for validation are different people."""
    lists = [pd.read_csv(root / f"{name}_list.csv").assign(split=split) for name, split in SPLITS.items()]
    table = pd.concat(lists, ignore_index=True).rename(columns={"subDirectory_filePath": "path"})
    videos = np.repeat(["v1", "v2", "v3"], 6)
    return table.assign(video=videos, subject=videos, frame=np.tile(range(6), 3), expression=[0, 1] * 9)


SPLITS = {"training": "train", "validation": "val"}


def checked(root: Path, table: pd.DataFrame, **options: Any) -> CheckUp:
    table.to_csv(root / "index.csv", index=False)
    return check(Listed(str(root), cache_dir=str(root.parent / "cache"), **options), "mine")


def found(record: Mapping[str, Any], fault: bool = True) -> set[tuple[str, str]]:
    return {(f["kind"], f["where"]) for f in record["findings"] if f["fault"] == fault}


def csv_record(root: Path) -> dict[str, Any]:
    return check(CsvDataModule(str(root), cache_dir=str(root.parent / "cache")), "csv").record


def test_finds_nothing_where_there_is_nothing(root: Path) -> None:
    record = csv_record(root)
    assert record["clean"]
    assert not found(record)
    labels = pd.read_csv(root / "training_list.csv")
    train = record["splits"]["train"]
    assert (train["rows"], train["usable"], train["bad_images"]) == (12, 12, {})
    assert train["valence"]["mean"] == pytest.approx(labels["valence"].mean(), abs=1e-4)
    assert train["arousal"]["sd"] == pytest.approx(labels["arousal"].std(ddof=0), abs=1e-4)
    plane = np.zeros((BINS, BINS), int)
    for valence, arousal in labels[["valence", "arousal"]].astype(np.float32).to_numpy():
        plane[min(int((valence + 1) * BINS / 2), BINS - 1), min(int((arousal + 1) * BINS / 2), BINS - 1)] += 1
    assert train["plane"] == plane.tolist()
    json.dumps(record)


def test_a_folder_without_the_data_set_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AvceError, match="There is no folder"):
        csv_record(tmp_path / "nowhere")


def test_splits_are_described_and_compared_with_the_real_release(root: Path, listed: pd.DataFrame) -> None:
    record = checked(root, listed).record
    assert found(record) == {("label_rows", "v1")}
    assert record["splits"]["train"]["expressions"] == {"Neutral": 6, "Happy": 6}
    assert record["splits"]["train"]["expected"] == {"rows": 10, "videos": 2, "expressions": {"Neutral": 4, "Happy": 6}}
    assert record["total"] == {"rows": 18, "videos": 3, "expected": {"videos": 9}}
    assert (record["splits"]["train"]["videos"], record["splits"]["val"]["subjects"]) == (2, 1)
    assert record["dropped"] == {"sentinel -5": 3}
    notes = {("expected_rows", "train"), ("expected_rows", "val"), ("expected_videos", "all"), ("left_out", "line 7")}
    assert {note for note in found(record, False) if note[0] != "label_shift"} == notes


def test_finds_overlaps(root: Path, listed: pd.DataFrame) -> None:
    listed.loc[0, "subject"] = "v3"
    assert found(checked(root, listed).record) == {("label_rows", "v1"), ("overlap_subject", "v3")}
    listed.loc[17, "video"] = "v1"
    assert ("overlap_video", "v1") in found(checked(root, listed).record)
    assert ("empty_split", "val") in found(checked(root, listed.assign(split="train")).record)


def test_a_face_each_in_one_picture_is_no_duplicate(root: Path, listed: pd.DataFrame) -> None:
    two = pd.concat([listed, listed.iloc[:1]], ignore_index=True).assign(box_width=40, box_height=40, box_x=0, box_y=0)
    assert ("duplicate_row", listed["path"][0]) in found(checked(root, two).record)
    two.loc[18, "box_x"] = 5
    assert found(checked(root, two).record) == {("label_rows", "v1")}
    two.loc[18, "box_x"] = 50
    assert ("wrong_box", listed["path"][0]) in found(checked(root, two).record)


def test_equal_frames_of_a_video_are_a_note(root: Path, listed: pd.DataFrame) -> None:
    paths = listed["path"]
    shutil.copy(root / paths[0], root / paths[4])
    record = checked(root, listed).record
    assert ("duplicate_image", paths[4]) in found(record, False)
    shutil.copy(root / paths[0], root / paths[8])
    assert ("duplicate_image", paths[8]) in found(checked(root, listed).record)
    shutil.copy(root / paths[0], root / paths[14])
    assert ("duplicate_across_splits", paths[14]) in found(checked(root, listed).record)


def slow_distance(a: Sequence[float], b: Sequence[float]) -> float:
    return max(abs(np.mean(np.array(a) <= x) - np.mean(np.array(b) <= x)) for x in [*a, *b])


def test_label_shift_is_measured_and_noted(root: Path, listed: pd.DataFrame) -> None:
    record = checked(root, listed).record
    train, val = (listed.loc[listed["split"] == split, "arousal"] for split in ("train", "val"))
    (shift,) = [shift for shift in record["shifts"] if shift["axis"] == "arousal"]
    assert shift["splits"] == ["train", "val"]
    assert shift["difference"] == pytest.approx(val.mean() - train.mean(), abs=1e-4)
    assert shift["distance"] == pytest.approx(slow_distance(train, val), abs=1e-4)
    listed["arousal"] = np.where(listed["split"] == "train", 0.5, -0.5)
    (detail,) = [f["detail"] for f in checked(root, listed).record["findings"] if f["kind"] == "label_shift"]
    assert detail.startswith("The mean arousal of val is 1.00 below that of train")


def test_training_shows_what_strides_and_samplers_draw(root: Path, listed: pd.DataFrame) -> None:
    record = checked(root, listed, stride=2, frames_per_video=2).record
    planes = {drawn["name"]: np.array(drawn["plane"]) for drawn in record["training"]}
    assert {name: round(plane.sum()) for name, plane in planes.items()} == {
        "all rows": 12,
        "stride 2, at most 2 frames of a video": 4,
        "balanced_plane": 4,
        "balanced_expressions": 4,
    }


def test_rows_without_valence_and_arousal_are_checked_too(root: Path, listed: pd.DataFrame) -> None:
    made = checked(root, listed.assign(valence=np.nan, arousal=np.nan, expression=[0, 0, 0, 1] * 4 + [0, 1]))
    assert "valence" not in made.record["splits"]["train"]
    assert made.record["shifts"] == []
    assert {drawn["name"]: drawn["expressions"] for drawn in made.record["training"]} == {
        "all rows": {"Neutral": 9, "Happy": 3},
        "balanced_expressions": {"Neutral": 6, "Happy": 6},
    }
    shown = Counter((sample.split, sample.expression) for sample in made.samples)
    assert shown == {("train", "Neutral"): 5, ("train", "Happy"): 3, ("val", "Neutral"): 4, ("val", "Happy"): 2}
    page = check_page(made.record, made.samples, REGIONS)
    assert page.count("<img") == 14
    assert "Neutral: train/" in page


def test_many_findings_are_counted_and_not_all_listed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "MOST_LISTED", 5)
    for path in (root / "train").iterdir():
        path.unlink()
    record = csv_record(root)
    assert record["counts"]["fault"]["missing_image"] == 12
    assert len(record["findings"]) == 5
    assert record["splits"]["train"]["bad_images"] == {"missing": 12}


def test_samples_are_of_every_region(root: Path) -> None:
    data = CsvDataModule(str(root), cache_dir=str(root.parent / "cache"))
    samples = check(data, "csv").samples
    labels = data.index
    regions = {
        (s, min(int((v + 1) * 2.5), 4), min(int((a + 1) * 2.5), 4))
        for s, v, a in labels[["split", "valence", "arousal"]].itertuples(index=False)
    }
    assert len(samples) == len(regions)
    assert all(sample.jpeg.startswith(b"\xff\xd8") for sample in samples)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["data", "check", *arguments])
    if isinstance(result.exception, AvceError):
        return result.exception.exit_code, str(result.exception)
    return result.exit_code, result.stdout


def test_the_command_prints_and_writes_what_was_found(root: Path, tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>&'.jpg"
    table = pd.read_csv(root / "training_list.csv")
    table.loc[0, "subDirectory_filePath"] = name
    table.to_csv(root / "training_list.csv", index=False)
    page = tmp_path / "new" / "check.html"
    code, text = run("csv", "--root", str(root), "--html", str(page))
    assert code == 1
    assert "Faults: missing_image (1)." in text
    assert name in text
    html = page.read_text()
    assert "<img src=x" not in html
    assert "&lt;img src=x onerror=alert(1)&gt;" in html
    assert "<script" not in html
    assert html.count("<img") == html.count("<img src='data:image/") > 0
    assert " href" not in html
    code, text = run("csv", "--root", str(root), "--json")
    assert code == 1
    assert json.loads(text)["findings"][0]["where"] == name


def test_a_page_that_cannot_be_written_is_a_sentence(root: Path) -> None:
    assert "cannot be written: Is a directory" in run("csv", "--root", str(root), "--html", str(root))[1]


def test_the_command_takes_options_and_says_what_is_wrong_with_them(root: Path) -> None:
    assert run("csv", "--root", str(root), "dataset.scale=2", "--protocol", "csv")[0] == 0
    assert run("cvs", "--root", str(root)) == (1, "There is no data set cvs; did you mean csv?")
    assert "did you mean scale?" in run("csv", "scael=2", "--root", str(root))[1]
    assert "KEY=VALUE" in run("csv", "2", "--root", str(root))[1]
    assert "dataset.protocol=official does not work" in run("csv", "--root", str(root), "--protocol", "official")[1]
    assert "nothing to check" in run("synthetic", "--root", str(root))[1]
