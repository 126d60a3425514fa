import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from avce_pl.cli.main import app
from avce_pl.dataset.csv import CsvDataModule
from avce_pl.dataset.files.video_source import VideoSource
from avce_pl.errors import AvceError
from avce_pl.face.detection import overlap
from avce_pl.image.crop import Box, crop_face
from avce_pl.image.film import read_film, read_header
from avce_pl.prepare.dataset import prepare_dataset
from avce_pl.prepare.pipeline import prepare
from avce_pl.prepare.record import PrepareSettings
from avce_pl.synthesis.renderer import render
from avce_pl.synthesis.video import AFF_WILD, sample_video
from avce_pl.synthesis.writers import write_csv

BOX = ["box_x", "box_y", "box_width", "box_height"]
SMALL = PrepareSettings("haar", 0.3, 48)
Boxes = list[Box | None]


def film(path: Path, subject: int = 1, frames: int = 8, empty: Sequence[int] = (), size: int = 160) -> Boxes:
    """Writes a real MP4 of a person; returns the true boxes, None where the camera sees an empty room."""
    video = sample_video(5, subject, frames, style=replace(AFF_WILD, level=0.3, crop=0.6))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (size * 3 // 2, size))
    boxes: Boxes = []
    for frame in range(frames):
        image: NDArray[np.uint8] = np.full((size, size * 3 // 2, 3), 90, np.uint8)
        drawn = render(video.face(frame), size)
        x = 10 + 3 * frame
        if frame not in empty:
            image[:, x : x + size] = drawn.image[:, : image.shape[1] - x]
        left, *others = drawn.box
        boxes.append(None if frame in empty else Box(left + x, *others))
        writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    writer.release()
    return boxes


def read(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "prepared.csv", dtype={"video": str, "path": str})


def test_a_video_becomes_crops_and_a_table(tmp_path: Path) -> None:
    boxes = film(tmp_path / "a.mp4", frames=8, empty=(2, 3))
    out = tmp_path / "out"
    prepared = prepare([VideoSource("a", tmp_path / "a.mp4", 8)], out, SMALL)
    table = read(out)
    assert table.columns.tolist() == ["path", "video", "frame", *BOX, "detector", "confidence"]
    assert table["frame"].tolist() == list(range(8))
    assert table["path"].isna().tolist() == [box is None for box in boxes]
    assert sorted(path.name for path in (out / "a").glob("*.jpg")) == [f"{i:05d}.jpg" for i in (0, 1, 4, 5, 6, 7)]
    decoded = [frame.image for frame in read_film(tmp_path / "a.mp4")]
    for row, box in zip(table.itertuples(), boxes, strict=True):
        if box is None:
            assert np.isnan(row.box_x)
            continue
        found = Box(row.box_x, row.box_y, row.box_width, row.box_height)
        assert overlap(found, Box(*box)) > 0.4
        assert row.detector == "haar"
        assert 0 < row.confidence < 1
        with Image.open(out / row.path) as crop:
            difference = np.asarray(crop).astype(int) - crop_face(decoded[row.frame], found, 48, 0.3)
        assert np.abs(difference).mean() < 4  # JPEG
    assert prepared.faults == []
    assert prepared.text().splitlines()[0] == ("1 video, 8 frames: 6 faces (75.0%), by haar 6; 2 frames without a face")


def test_provided_boxes_are_used_and_none_is_made_up(tmp_path: Path, capfd) -> None:
    truth = film(tmp_path / "a.mp4", frames=5)
    film(tmp_path / "b.mp4", subject=2, frames=3)
    boxes = {0: truth[0], 1: truth[1], 3: Box(900.0, 0.0, 20.0, 20.0)}
    sources = [VideoSource("a", tmp_path / "a.mp4", 5, boxes), VideoSource("b", tmp_path / "b.mp4", 4)]
    prepared = prepare(sources, tmp_path / "out", PrepareSettings("auto", 0.0, 32), jobs=2)
    table = read(tmp_path / "out").set_index(["video", "frame"])
    assert table.loc["a", "detector"].fillna("").tolist() == ["provided", "provided", "", "", ""]
    np.testing.assert_allclose(table.loc[("a", 1), BOX].to_numpy(float), truth[1], atol=0.01)
    assert set(table.loc["b", "detector"]) == {"haar"}
    assert "detector: provided and haar" in capfd.readouterr().err
    assert "b: 3 frames for 4 rows of labels." in prepared.text()
    assert "a: 1 of the boxes provided lie outside" in prepared.text()
    assert prepared.faults == []
    with pytest.raises(AvceError, match="No boxes are provided for 1 videos, such as b"):
        prepare(sources, tmp_path / "other", PrepareSettings("provided"))


def test_two_people_in_a_video(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", subject=1, frames=3, size=120)
    film(tmp_path / "b.mp4", subject=2, frames=3, size=120)
    writer = cv2.VideoWriter(str(tmp_path / "both.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 10, (360, 120))
    for left, right in zip(read_film(tmp_path / "a.mp4"), read_film(tmp_path / "b.mp4"), strict=True):
        writer.write(np.hstack([left.image, right.image])[..., ::-1])
    writer.release()
    sources = [
        VideoSource(f"both_{side}", tmp_path / "both.mp4", 3, side=side)  # type: ignore[arg-type]
        for side in ("left", "right")
    ] + [VideoSource("a_right", tmp_path / "a.mp4", 3, side="right")]
    prepare(sources, tmp_path / "out", PrepareSettings("haar", 0.3, 32))
    centre = read(tmp_path / "out").assign(middle=lambda t: t["box_x"] + t["box_width"] / 2).groupby("video")["middle"]
    assert (centre.max()["both_left"] < 180) & (centre.min()["both_right"] > 180)
    assert centre.count()["both_left"] == centre.count()["both_right"] == 3
    assert centre.count()["a_right"] == 0  # the only person is on the left


def test_the_central_square_gets_no_margin(tmp_path: Path) -> None:
    image = np.tile(np.linspace(100, 250, 60).astype(np.uint8)[:, None], (40, 1, 3))
    Image.fromarray(image).save(tmp_path / "0.png")
    source = VideoSource("clip", None, 1, stills=[tmp_path / "0.png"])
    prepare([source], tmp_path / "out", PrepareSettings("centre", 0.3, 40))
    with Image.open(tmp_path / "out/clip/00000.jpg") as crop:
        difference = np.asarray(crop).astype(int) - image[:, 10:50]
    assert np.abs(difference).max() < 8  # JPEG; a margin would add a black frame
    assert json.loads((tmp_path / "out/prepared.json").read_text())["margin"] is None


def test_stills_and_broken_videos(tmp_path: Path) -> None:
    film(tmp_path / "good.mp4", frames=4)
    for number, frame in enumerate(read_film(tmp_path / "good.mp4")):
        Image.fromarray(frame.image).save(tmp_path / f"{number}.png")
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:200])
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "good.mp4").read_bytes()[:3000])
    (tmp_path / "empty.mp4").touch()
    sources = [
        VideoSource("clip", None, 5, stills=[tmp_path / f"{number}.png" for number in range(5)]),
        VideoSource("cut", tmp_path / "cut.mp4", 4),
        VideoSource("empty", tmp_path / "empty.mp4", None),
        VideoSource("gone", tmp_path / "gone.mp4", None),
        VideoSource("none", None, 3),
        VideoSource("good", tmp_path / "good.mp4", 4),
    ]
    prepared = prepare(sources, tmp_path / "out", SMALL, jobs=2)
    table = read(tmp_path / "out").set_index(["video", "frame"])
    assert table.loc["clip", "path"].isna().tolist() == [False, True, False, False, True]
    assert table.loc["good", "path"].notna().all()
    assert set(table.index.get_level_values(0)) == {"clip", "good"}
    text = "\n".join(prepared.faults)
    assert "clip: pictures are missing or broken: 1.png, 4.png." in text
    assert "cut.mp4 cannot be opened as a film" in text
    assert "empty.mp4 cannot be opened as a film" in text
    assert "gone.mp4 does not exist." in text
    assert "none: There are labels but no video." in text
    assert len(prepared.faults) == 5
    # what was missing is looked for again; what is done is not done again
    before = (tmp_path / "out/good/00000.jpg").stat().st_mtime_ns
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "good.mp4").read_bytes())
    again = prepare(sources, tmp_path / "out", SMALL)
    assert len(again.faults) == 4
    assert (tmp_path / "out/good/00000.jpg").stat().st_mtime_ns == before
    assert read(tmp_path / "out")["video"].value_counts()["cut"] == 4


def test_a_video_that_ends_early_is_a_fault(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (160, 120))
    for number in range(30):
        writer.write(np.full((120, 160, 3), 8 * number, np.uint8))
    writer.release()
    data = (tmp_path / "a.avi").read_bytes()
    (tmp_path / "a.avi").write_bytes(data[: len(data) // 2])
    assert read_header(tmp_path / "a.avi").frames == 30
    prepared = prepare([VideoSource("a", tmp_path / "a.avi", None)], tmp_path / "out", PrepareSettings("centre"))
    (fault,) = prepared.faults
    assert re.fullmatch(r"a: [12]\d of 30 frames cannot be decoded\.", fault)


def test_other_settings_names_and_folders_are_refused(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", frames=2)
    source, out = VideoSource("a", tmp_path / "a.mp4", 2), tmp_path / "out"
    prepare([source], out, SMALL)
    with pytest.raises(AvceError, match=r"made with margin=0.3 \(now 0.5\), size=48 \(now 64\)"):
        prepare([source], out, PrepareSettings("haar", 0.5, 64))
    with pytest.raises(AvceError, match="Several videos are called a"):
        prepare([source, source], tmp_path / "other", SMALL)
    with pytest.raises(AvceError, match="cannot be the name of a video's folder"):
        prepare([VideoSource("../a", tmp_path / "a.mp4", 2)], tmp_path / "other", SMALL)
    (out / "prepared.json").unlink()
    with pytest.raises(AvceError, match="not the settings they were made with"):
        prepare([source], out, SMALL)
    (tmp_path / "file").touch()
    with pytest.raises(AvceError, match="cannot be written"):
        prepare([source], tmp_path / "file" / "out", SMALL)


def test_what_is_damaged_is_prepared_anew_or_named(tmp_path: Path) -> None:
    sources = []
    for number, name in enumerate("ab"):
        film(tmp_path / f"{name}.mp4", subject=number, frames=3)
        sources.append(VideoSource(name, tmp_path / f"{name}.mp4", 3))
    out = tmp_path / "out"
    prepare(sources, out, SMALL)
    table = (out / "prepared.csv").read_bytes()
    for file in ("a/frames.csv", "a/video.json", "prepared.csv"):
        whole = (out / file).read_bytes()
        for damaged in (None, b"", whole[: len(whole) // 2], b"\xf2\x9d", b"null", b"[1]", b"{}"):
            (out / file).unlink()
            if damaged is not None:
                (out / file).write_bytes(damaged)
            prepare(sources, out, SMALL)
            assert (out / "prepared.csv").read_bytes() == table, (file, damaged)
    (out / "a/frames.csv").write_bytes(b"")
    with pytest.raises(AvceError, match=r"out/a is damaged"):
        prepare(sources[1:], out, SMALL)
    for damaged in (b"", b"\xf2\x9d", b"null", b"[1]"):
        (out / "prepared.json").write_bytes(damaged)
        with pytest.raises(AvceError, match=r"prepared.json is damaged"):
            prepare(sources, out, SMALL)


def test_lists_are_written_anew_with_the_labels_as_they_were(tmp_path: Path) -> None:
    root, out = tmp_path / "faces", tmp_path / "out"
    write_csv(root, train=6, val=3, size=96)
    lines = pd.read_csv(root / "training_list.csv", dtype=str).assign(note="kept, as it is")
    lines.loc[1, "valence"] = "7.00"  # another scale is none of our business
    lines.to_csv(root / "training_list.csv", index=False)
    Image.new("RGB", (96, 96)).save(root / lines["subDirectory_filePath"][0])  # nobody there
    prepared = prepare_dataset("csv", root, [], out, PrepareSettings("haar", 0.3, 40), 1)
    rows = read(out)
    assert len(rows) == 9
    assert pd.isna(rows["path"][rows["video"] == "train-0000000"].iloc[0])
    written = pd.read_csv(out / "training_list.csv", dtype=str)
    found = rows[(rows["video"] == "train-0000000") & rows["path"].notna()]
    pd.testing.assert_frame_equal(
        written.drop(columns="subDirectory_filePath"),
        lines.iloc[found["frame"]].drop(columns="subDirectory_filePath").reset_index(drop=True),
    )
    assert written["subDirectory_filePath"].tolist() == found["path"].tolist()
    assert prepared.faults == []
    data = CsvDataModule(str(out), scale=10, cache_dir=str(tmp_path / "cache"))
    assert len(data.index) == rows["path"].notna().sum()


def test_the_command(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", frames=2)
    (tmp_path / "b.mp4").write_bytes(b"no video")
    arguments = ["data", "prepare", "--out", str(tmp_path / "out"), "--size", "32", "--jobs", "1", "--detector", "haar"]
    run = CliRunner().invoke(app, [*arguments, "--video", str(tmp_path / "*.mp4")])
    assert run.exit_code == 1
    assert "2 videos, 2 frames: 2 faces (100.0%), by haar 2" in run.stdout
    assert "b.mp4 cannot be opened as a film" in run.stdout
    assert json.loads((tmp_path / "out/prepared.json").read_text())["finder_version"] == f"opencv {cv2.__version__}"
    run = CliRunner().invoke(app, [*arguments, "--video", str(tmp_path / "a.mp4")])
    assert run.exit_code == 0
    for wrong, sentence in (
        ([], "either a data set"),
        (["csv"], "--root FOLDER"),
        ([], "afew_va, aff_wild, aff_wild2, csv"),
        (["csv", "--root", str(tmp_path / "nowhere")], "There is no folder"),
        (["afew-va", "--root", str(tmp_path)], "did you mean afew_va?"),
        (["raf_db", "--root", str(tmp_path)], "raf_db has no videos to prepare. Data sets to prepare are afew_va"),
        (["synthetic", "--root", str(tmp_path)], "nothing to check or to prepare"),
        (["--video", str(tmp_path / "a.mp4"), "--detector", "harr"], "There is no detector 'harr'"),
        (["--video", str(tmp_path / "*.mov")], "matches no file"),
    ):
        run = CliRunner().invoke(app, [*arguments, *wrong])
        assert isinstance(run.exception, AvceError)
        assert sentence in str(run.exception)


def test_from_the_owners_archive_to_metrics(tmp_path: Path, run: Callable[..., Path]) -> None:
    def avce(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["data", *arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    root = str(tmp_path / "Aff-Wild")
    avce("synthesize", "--layout", "aff_wild", "--out", root, "--train", "5", "--test", "1", "--size", "48")
    assert "not prepared yet" in avce("check", "aff_wild", "--root", root)
    assert "by provided" in avce("prepare", "aff_wild", "--root", root, "--jobs", "1")
    checked = json.loads(avce("check", "aff_wild", "--root", root, "stride=2", "--json"))
    folder = run(
        "dataset=aff_wild", f"root={root}", "dataset.stride=2", "dataset.image_size=64", "trainer.max_epochs=1"
    )
    data = json.loads((folder / "metrics.json").read_text())["data"]
    assert data["protocol"] == "aff_wild_video_70_30"
    assert data["split_hash"] == checked["protocol"]["split_hash"]
    assert data["rows"]["val"] == checked["splits"]["val"]["usable"]
    assert data["rows"]["train"] == checked["training"][1]["rows"] < checked["splits"]["train"]["usable"]


def test_it_goes_on_after_kill_9(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        film(tmp_path / f"{name}.mp4", frames=12)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "avce_pl", "data", "prepare", "--video", str(tmp_path / "?.mp4")]
    command += ["--out", str(out), "--detector", "haar", "--jobs", "1"]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (list(out.glob("?/video.json")) and list(out.glob(".partial-*/*.jpg"))):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    complete = {path.parent.name: path.stat().st_mtime_ns for path in out.glob("?/video.json")}
    assert 0 < len(complete) < 3
    assert not (out / "prepared.csv").exists()
    group_is_gone(process.pid, deadline)  # workers do not outlive it
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "3 videos, 36 frames: 36 faces" in done.stdout
    assert all((out / name / "video.json").stat().st_mtime_ns == when for name, when in complete.items())
    assert read(out)["path"].tolist() == [f"{name}/{frame:05d}.jpg" for name in "abc" for frame in range(12)]
    assert not list(out.glob(".partial-*"))


def group_is_gone(group: int, deadline: float) -> None:
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    raise AssertionError("a process outlives its parent")
