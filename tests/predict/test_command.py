import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from avce_pl import load
from avce_pl.cli.main import app
from avce_pl.errors import AvceError, Interrupted
from avce_pl.face.detection import Detection
from avce_pl.image.crop import Box
from avce_pl.predict.command import Options, predict_sources
from avce_pl.predict.sources import Source, find_sources, read
from avce_pl.predict.table import QUADRANTS

FRAMES = 40


@pytest.fixture(scope="module")
def model(trained: Path):
    return load(trained)


class Moving:
    """Finds the bright square of the test video; none in its dark frames."""

    name = "moving"
    version = ""

    def __call__(self, image: np.ndarray) -> list[Detection]:
        bright = image.min(axis=2) > 200
        if not bright.any():
            return []
        rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
        size = float(len(columns)), float(len(rows))
        return [Detection(Box(float(columns[0]), float(rows[0]), *size), 0.5, self.name)]


def write_video(path: Path, frames: int = FRAMES, rate: float = 20.0) -> None:
    """A bright square moves to the right over noise; frames 10 to 14 have none."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), rate, (160, 120))
    noise = np.random.default_rng(0)
    for frame in range(frames):
        image = noise.integers(0, 120, (120, 160, 3), np.uint8)
        if not 10 <= frame < 15:
            image[40:80, 20 + frame : 60 + frame] = 240
        writer.write(image)
    writer.release()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images, a broken one, one in a folder below, and a video."""
    place = tmp_path / "pictures"
    (place / "below").mkdir(parents=True)
    image = np.full((90, 120, 3), 50, np.uint8)
    cv2.imwrite(str(place / "dark.png"), image)
    image[20:60, 30:70] = 255
    cv2.imwrite(str(place / "bright.png"), image)
    cv2.imwrite(str(place / "below" / "bright.png"), image)
    (place / "broken.jpg").write_bytes(b"no image")
    (place / "notes.txt").write_text("no image either")
    write_video(place / "film.avi")
    return place


def predict(model, paths: list[Path], out: Path | None, **options) -> str:
    return str(predict_sources(model, find_sources([str(p) for p in paths]), out, Options(**options), Moving()))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_of_everything(model, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "table.csv"
    said = predict(model, [folder], out)
    rows = rows_of(out)
    images = [(Path(r["file"]).relative_to(folder).as_posix(), r["status"]) for r in rows if not r["frame"]]
    assert images == [
        ("below/bright.png", "face"), ("bright.png", "face"), ("broken.jpg", "unreadable"), ("dark.png", "no face"),
    ]  # fmt: skip
    video = [r for r in rows if r["frame"]]
    assert [int(r["frame"]) for r in video] == list(range(FRAMES))
    assert [float(r["time_seconds"]) for r in video] == pytest.approx([i / 20 for i in range(FRAMES)], abs=1e-3)
    assert [r["status"] for r in video] == ["no face" if 10 <= i < 15 else "face" for i in range(FRAMES)]
    assert {r["face"] for r in video} == {"0", ""}, "one face, whose gap is shorter than a second"
    assert "37 faces in 44 frames, 6 frames without a face" in said
    assert "not readable: " in said
    assert "broken.jpg" in said
    information = json.loads((tmp_path / "table.csv.json").read_text())
    assert information["model"]["digest"] == model.specification.digest
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pictures", "table.csv", "table.csv.json"]


def test_rows_are_the_models_predictions(model, folder: Path, tmp_path: Path) -> None:
    predict(model, [folder / "film.avi"], tmp_path / "table.csv")
    frames = [frame.image for frame in read(find_sources([str(folder / "film.avi")]))]
    for row in rows_of(tmp_path / "table.csv")[::9]:
        wanted = model.predict(frames[int(row["frame"])], detect=Moving())
        assert len(wanted) == (row["status"] == "face")
        for face in wanted:
            assert float(row["valence"]) == pytest.approx(face.valence, abs=1e-5)
            assert float(row["arousal"]) == pytest.approx(face.arousal, abs=1e-5)
            assert tuple(float(row[f"box_{side}"]) for side in Box._fields) == face.box
            assert (float(row["detection_confidence"]), row["detector"]) == (0.5, "moving")


def test_smoothing_and_quadrants_stand_in_columns_that_say_so(model, folder: Path, tmp_path: Path) -> None:
    predict(model, [folder / "film.avi"], tmp_path / "table.csv", smooth=0.5, quadrants=True)
    smoothed, last = None, 0.0
    for row in rows_of(tmp_path / "table.csv"):
        if row["status"] != "face":
            assert row["quadrant_heuristic"] == row["valence_smoothed_0.5s"] == ""
            continue
        value, now = float(row["valence"]), float(row["time_seconds"])
        smoothed = value if smoothed is None else smoothed + (1 - np.exp(-(now - last) / 0.5)) * (value - smoothed)
        last = now
        assert float(row["valence_smoothed_0.5s"]) == pytest.approx(smoothed, abs=1e-5)
        assert row["quadrant_heuristic"] in ("neutral", *QUADRANTS.values())
    assert smoothed is not None
    assert "heuristic" in json.loads((tmp_path / "table.csv.json").read_text())["quadrant_heuristic"]


def test_json_lines_hold_the_same(model, folder: Path, tmp_path: Path) -> None:
    for name in ("table.csv", "table.jsonl"):
        predict(model, [folder], tmp_path / name)
    lines = [json.loads(line) for line in (tmp_path / "table.jsonl").read_text().splitlines()]
    for row, line in zip(rows_of(tmp_path / "table.csv"), lines, strict=True):
        assert {key: "" if value is None else str(value) for key, value in line.items()} == row


def interrupted(model, sources: list[Source], out: Path, options: Options, after: int) -> None:
    """Starts, and stops at a frame as Ctrl-C does, with a checkpoint after every batch."""

    class Stopping(Moving):
        seen = 0

        def __call__(self, image: np.ndarray) -> list[Detection]:
            self.seen += 1
            if self.seen > after:
                raise KeyboardInterrupt
            return super().__call__(image)

    with pytest.raises(Interrupted, match="Run the same command again to resume"):
        predict_sources(model, sources, out, options, Stopping())


@pytest.mark.parametrize("name", ["table.csv", "table.jsonl"])
def test_an_interrupted_table_is_continued(model, folder: Path, tmp_path: Path, name: str, monkeypatch) -> None:
    monkeypatch.setattr("avce_pl.predict.command._CHECKPOINT_SECONDS", 0.0)
    write_video(folder / "second.avi")
    sources = find_sources([str(folder)])
    whole, parts = tmp_path / f"whole-{name}", tmp_path / name
    options = Options(smooth=0.3, annotate=tmp_path / "copies")
    predict_sources(model, sources, whole, Options(smooth=0.3, annotate=tmp_path / "undisturbed"), Moving())
    for after in (3, 20, 33, 17):
        interrupted(model, sources, parts, options, after)
        assert not parts.exists()
        with parts.with_name(f"{name}.part").open("ab") as file:
            file.write(b"half a li")  # what a kill leaves behind
    predict_sources(model, sources, parts, options, Moving())
    assert parts.read_bytes() == whole.read_bytes()
    for copy in sorted((tmp_path / "undisturbed").rglob("*.*")):
        other = tmp_path / "copies" / copy.relative_to(tmp_path / "undisturbed")
        mine, theirs = (list(read(find_sources([str(path)]))) for path in (copy, other))
        assert len(mine) == len(theirs)
        assert all(np.array_equal(a.image, b.image) for a, b in zip(mine, theirs, strict=True))
    assert not list(tmp_path.rglob(".*")), "nothing half-made is left"


def test_a_damaged_table_does_not_go_on(model, folder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("avce_pl.predict.command._CHECKPOINT_SECONDS", 0.0)
    sources, out = find_sources([str(folder / "film.avi")]), tmp_path / "table.csv"
    interrupted(model, sources, out, Options(), 33)
    part, state = tmp_path / "table.csv.part", tmp_path / "table.csv.state"
    rows, whole = part.read_bytes(), state.read_text()
    for damaged in ("", "null", "[1]", whole[:40]):
        state.write_text(damaged)
        with pytest.raises(AvceError, match=r"state is damaged. Delete .*table.csv.part and .*table.csv.state"):
            predict_sources(model, sources, out, Options(), Moving())
    state.write_text(whole)
    for lost in (b"", rows[: len(rows) // 2]):
        part.write_bytes(lost)
        with pytest.raises(AvceError, match=r"part has lost rows that were in it"):
            predict_sources(model, sources, out, Options(), Moving())


def test_another_request_does_not_continue(model, folder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("avce_pl.predict.command._CHECKPOINT_SECONDS", 0.0)
    sources, out = find_sources([str(folder / "film.avi")]), tmp_path / "table.csv"
    interrupted(model, sources, out, Options(), 33)
    with pytest.raises(AvceError, match="begun by a command with other files, model or options"):
        predict_sources(model, sources, out, Options(smooth=1), Moving())
    os.utime(folder / "film.avi", (1, 1))
    with pytest.raises(AvceError, match="begun by a command with other files"):
        predict_sources(model, sources, out, Options(), Moving())


def test_kill_minus_nine(trained: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "film.avi", frames=400)
    command = [
        sys.executable,
        "-m",
        "avce_pl",
        "predict",
        "film.avi",
        "--run",
        str(trained),
        "--detector",
        "centre",
    ]
    command += ["--out", "table.csv"]
    first = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    part = tmp_path / "table.csv.part"
    while not part.exists() or part.stat().st_size < 2000:
        assert first.poll() is None
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert not (tmp_path / "table.csv").exists()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [int(row["frame"]) for row in rows_of(tmp_path / "table.csv")] == list(range(400))


def test_annotated_copies_show_the_picture_and_the_faces(model, folder: Path, tmp_path: Path) -> None:
    predict(model, [folder], tmp_path / "table.csv", annotate=tmp_path / "copies")
    copies = {p.relative_to(tmp_path / "copies").as_posix() for p in (tmp_path / "copies").rglob("*.*")}
    assert copies == {"below/bright.png", "bright.png", "dark.png", "film.mp4"}
    frames = list(read(find_sources([str(tmp_path / "copies" / "film.mp4")])))
    assert len(frames) == FRAMES
    assert frames[0].image.shape[1] == 560, "small videos are enlarged, or nobody could read the numbers"
    face, none = (cv2.imread(str(tmp_path / "copies" / name)) for name in ("bright.png", "dark.png"))
    orange = np.array([60, 146, 251])
    assert (np.abs(face.astype(int) - orange).max(axis=2) < 20).sum() > 500
    assert (np.abs(none.astype(int) - orange).max(axis=2) < 20).sum() == 0


def test_where_copies_go(model, folder: Path, tmp_path: Path) -> None:
    predict(model, [folder / "bright.png"], tmp_path / "a.csv", annotate=tmp_path / "one.jpg")
    assert cv2.imread(str(tmp_path / "one.jpg")) is not None
    with pytest.raises(AvceError, match="is a file, but there are 5 sources"):
        predict(model, [folder], tmp_path / "b.csv", annotate=tmp_path / "one.jpg")
    with pytest.raises(AvceError, match="would overwrite"):
        predict(model, [folder / "bright.png"], tmp_path / "c.csv", annotate=folder)
    with pytest.raises(AvceError, match=r"cannot be written as a video. Give a name that ends in .mp4"):
        predict(model, [folder / "film.avi"], tmp_path / "d.csv", annotate=tmp_path / "film.gif")
    with pytest.raises(AvceError, match=r"cannot be written as a picture. Give a name that ends in .png or .jpg"):
        predict(model, [folder / "bright.png"], tmp_path / "e.csv", annotate=tmp_path / "one.xyz")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["x.png"], "Say which model: --run RUN_FOLDER or --model FILE.onnx"),
        (["--run", "RUN"], "Say what to look at"),
        (["nowhere/*.png", "--run", "RUN"], r"no file, folder or match for nowhere/\*.png"),
        (["FOLDER/notes.txt", "--run", "RUN"], "neither an image nor a video by its ending"),
        (["EMPTY", "--run", "RUN"], "holds no images or videos"),
        (["FOLDER", "--run", "EMPTY"], "holds no trained run"),
        (["FOLDER", "--run", "RUN", "--out", "table.xlsx"], r"give a name that ends in .csv or .jsonl"),
        (["FOLDER", "--run", "RUN", "--out", "FOLDER/notes.txt/table.csv"], "table.csv cannot be written: "),
        (["FOLDER", "--run", "RUN", "--detector", "eyes"], "There is no detector 'eyes'"),
        (["--camera", "97", "--run", "RUN"], "There is no camera 97"),
    ],
)
def test_mistakes_are_sentences(arguments, sentence: str, trained: Path, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    names = {"RUN": trained, "FOLDER": folder, "EMPTY": tmp_path / "empty"}
    for name, path in names.items():
        arguments = [argument.replace(name, str(path)) for argument in arguments]
    with pytest.raises(AvceError, match=sentence):
        app(["predict", *arguments], standalone_mode=False)


def test_a_table_that_is_there_is_not_overwritten(model, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("precious")
    with pytest.raises(AvceError, match="is there already"):
        predict(model, [folder], tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text() == "precious"


def test_a_video_that_is_cut_short_is_reported(model, tmp_path: Path) -> None:
    write_video(tmp_path / "film.avi", frames=100)
    data = (tmp_path / "film.avi").read_bytes()
    (tmp_path / "film.avi").write_bytes(data[: len(data) // 2])
    said = predict(model, [tmp_path / "film.avi"], tmp_path / "table.csv")
    assert "not readable: " in said
    (tmp_path / "none.mp4").write_bytes(b"no video")
    assert "none.mp4" in predict(model, [tmp_path / "none.mp4"], tmp_path / "none.csv")
    assert rows_of(tmp_path / "none.csv")[0]["status"] == "unreadable"


def test_without_a_file_the_table_is_printed(model, folder: Path, capsys) -> None:
    predict(model, [folder / "bright.png"], None)
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["status"] == "face"


def test_what_cannot_be_read_makes_the_exit_code_1(trained: Path, folder: Path, capsys) -> None:
    for name, code in (("broken.jpg", 1), ("dark.png", None)):
        assert app(["predict", str(folder / name), "--run", str(trained)], standalone_mode=False) == code
    assert "0 faces in 1 frame, 1 frame without a face" in capsys.readouterr().err


@pytest.mark.slow
def test_memory_does_not_depend_on_the_length_of_a_video(model, tmp_path: Path) -> None:
    import tracemalloc

    peaks = []
    for frames in (60, 600):
        write_video(tmp_path / f"{frames}.avi", frames=frames)
        tracemalloc.start()
        predict(model, [tmp_path / f"{frames}.avi"], tmp_path / f"{frames}.csv")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.2
