import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from avce_pl.cli.main import app
from avce_pl.errors import AvceError
from avce_pl.explain.figures import FigureChoice, make_figures
from avce_pl.explain.run import explain_run
from avce_pl.runs.predictions import open_runs


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """The trained run under another path, whose files may be replaced."""
    shutil.copytree(trained, tmp_path / "run", copy_function=os.link)
    return tmp_path / "run"


def figure(*arguments: object) -> None:
    app(["figure", *map(str, arguments)], standalone_mode=False)


def test_all_that_can_be_drawn_is_drawn(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure("all", "--runs", folder, "--out", tmp_path / "out", "--images", "40,47")
    printed = capsys.readouterr()
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    drawn = ("analysis", "figure3", "figure4")
    assert written == sorted(f"{name}.{kind}" for name in drawn for kind in ("json", "png", "svg"))
    assert all(name in printed.out for name in written)
    assert "figure2 was left out: The test faces are not frames of videos" in printed.err
    assert "figure5 was left out:" in printed.err
    assert "t-SNE needs at least 20" in printed.err
    assert "No run of Baseline and CAF was given." in printed.err
    record = json.loads((folder / "metrics.json").read_text())
    analysis = json.loads((tmp_path / "out" / "analysis.json").read_text())
    ccc = analysis["values"]["intervals"]["AVCE"]["ccc_valence"]["value"]
    assert ccc == pytest.approx(record["test"]["test/ccc_valence"], abs=1e-5)
    assert not any("figure2" in note for note in analysis["notes"])
    shares = json.loads((tmp_path / "out" / "figure3.json").read_text())["values"]["shares"]
    assert shares["faces"] == 16
    assert 0.1 < shares["uniform"]["mean"]["all four"] < 0.3


def test_runs_on_other_faces_are_refused(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other, copy_function=os.link)
    table = pd.read_parquet(other / "predictions.parquet")
    (other / "predictions.parquet").unlink()
    table[1:].to_parquet(other / "predictions.parquet")
    with pytest.raises(AvceError, match="not tested on the same faces"):
        figure("analysis", "--runs", folder, other, "--out", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["figure3", "--outputs", "/nowhere"], "no finished run in /nowhere/figures. Train some"),
        (["figure3", "--runs", "RUN", "--name", "x"], "Say which runs"),
        (["figure3", "--name", "no_such_sweep"], "no finished run in outputs/no_such_sweep"),
        (["figure3", "--runs", "RUN", "--images", "1,x"], "--images 1,x: give whole numbers"),
        (["figure3", "--runs", "RUN", "--images", "3"], "--images 3 does not exist"),
        (["figure2", "--runs", "RUN"], "not frames of videos"),
        (["figure3", "--runs", "RUN", "--out", "/proc/x"], "cannot be written"),
    ],
)
def test_what_cannot_be_drawn_is_a_sentence(arguments: list[str], message: str, folder: Path, tmp_path: Path) -> None:
    given = [str(folder) if argument == "RUN" else argument for argument in arguments]
    outside = [] if "--out" in given else ["--out", tmp_path / "out"]
    with pytest.raises(AvceError, match=message):
        figure(*given, *outside)


def test_the_analysis_needs_no_torch(folder: Path, tmp_path: Path) -> None:
    code = "import sys; sys.modules['torch'] = None; from avce_pl.cli.main import main; main()"
    arguments = ["figure", "analysis", "--runs", str(folder), "--out", str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Only 2 subjects" in done.stderr
    assert (tmp_path / "out" / "analysis.svg").exists()


def test_a_dead_network_and_a_head_without_maps_are_told(folder: Path, tmp_path: Path) -> None:
    """Maps and latents as they are kept in the folder, with what trained networks were found to be like."""
    (run,) = open_runs([folder])
    kept = explain_run(run, run.table["row"].to_numpy(), "survey.npz")
    kept.maps[:4, 2:] = 0
    kept.support[:4] = [1, 1, 1, 5]
    kept.latent[:] = 2
    kept.save(folder / "explain" / "survey.npz")
    made = make_figures("figure4", [run], tmp_path, FigureChoice())
    (note,) = [note for note in made.notes if "H has no gradient" in note]
    found = [int(number) for number in re.findall(r"at (\d+)", note)]
    already = int((~kept.maps[4:, 2:].any(axis=(1, 2, 3))).sum())
    assert found[0] == 4 + already
    assert found[1] + found[2] == found[0]
    assert found[1] >= 3
    with pytest.raises(AvceError, match="the network is dead"):
        make_figures("figure5", [run], tmp_path, FigureChoice())
