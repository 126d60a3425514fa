"""Classes added as CONTRIBUTING.md says, in a copy of the project."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from avce_pl.report.tables.table import make_table
from tests.support.commands import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project."""
    for folder in ("avce_pl", "conf", "experiments"):
        shutil.copytree(ROOT / folder, tmp_path / "copy" / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "run.py", tmp_path / "copy")
    return tmp_path / "copy"


def add(copy: Path, group: str) -> None:
    """Writes the files of a section: each code block has the name of its file before it."""
    for path in (f"avce_pl/{group}/mine.py", f"conf/{group}/mine.yaml"):
        block = re.search(rf"`{path}`.*?```\w+\n(.*?)```", TEXT, re.DOTALL)
        assert block is not None, path
        (copy / path).write_text(block[1], encoding="utf-8")


def execute(copy: Path, *arguments: str) -> str:
    """Runs Python on the copy; returns what it prints."""
    command = [sys.executable, *arguments]
    environment = os.environ | {"PYTHONPATH": str(copy)}
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_formula_of_ones_own_gets_its_row(tiny: list[str], tmp_path: Path, copy: Path) -> None:
    add(copy, "crl_formula")
    video = [o.replace("images_per_subject", "frames_per_video").replace("subjects", "videos") for o in tiny]
    command = "python run.py -m experiment=table2 crl_formula=mine"
    assert command in TEXT
    execute(copy, "run.py", *command.split()[2:], "mining=none", "seed=0", *video)
    table = make_table("table2", tmp_path / "outputs", seeds=[0])
    assert ("mine", "none") in table.rows
    line = table.lines[table.lines["crl_formula"] == "mine"].iloc[0]
    assert line["n"] == 1
    assert -1 < line["mean"] < 1
    assert "| mine" in table.markdown()


@pytest.mark.parametrize("group", ["backbone", "method"])
def test_a_network_of_ones_own_trains_predicts_and_exports(
    tiny: list[str], tmp_path: Path, copy: Path, group: str
) -> None:
    add(copy, group)
    assert group == "method" or "`python run.py backbone=mine`" in TEXT
    execute(copy, "run.py", f"{group}=mine", *tiny, "dataset.batch_size=null", "trainer.max_epochs=1")
    (metrics,) = (tmp_path / "outputs").rglob("metrics.json")
    assert json.loads(metrics.read_text())[group] == "mine"
    predict = "import numpy, sys, avce_pl; faces = [numpy.zeros((110, 110, 3), numpy.uint8)]; "
    predict += "print(avce_pl.load(sys.argv[1]).predict_crops(faces).shape)"
    run = str(metrics.parent)
    assert execute(copy, "-c", predict, run) == "(1, 2)\n"
    execute(copy, "-m", "avce_pl", "export", run)
    assert execute(copy, "-c", predict, str(metrics.parent / "model.onnx")) == "(1, 2)\n"
