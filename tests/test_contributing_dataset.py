"""A data set added as CONTRIBUTING.md says, in a copy of the project, works everywhere and breaks no test."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from avce_pl.synthesis.writers import write_csv
from tests.support.commands import ROOT

FILES = {"avce_pl/dataset/diary.py": "python", "conf/dataset/diary.yaml": "yaml", "docs/datasets/diary.md": "markdown"}
FOLDERS = ("avce_pl", "conf", "docs", "experiments", "tests")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project with the three files that CONTRIBUTING.md gives."""
    copy = tmp_path / "copy"
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__", "results"))
    for file in ("run.py", "pyproject.toml", "README.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / file, copy)
    _, _, text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Add a data set\n")
    for path, kind in FILES.items():
        assert f"`{path}`" in text
        (copy / path).write_text(re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)[0], encoding="utf-8")
    return copy


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Images in the layout of the new data set."""
    root = tmp_path / "faces"
    write_csv(root, train=24, val=10, test=10, size=48)
    lists = {"train": "training_list.csv", "val": "validation_list.csv", "test": "test_list.csv"}
    tables = [pd.read_csv(root / file).assign(split=split) for split, file in lists.items()]
    table = pd.concat(tables).rename(columns={"subDirectory_filePath": "file"})
    table.to_csv(root / "faces.csv", index=False)
    for file in lists.values():
        (root / file).unlink()
    return root


def test_a_data_set_of_ones_own(copy: Path, faces: Path, tiny: list[str], tmp_path: Path) -> None:
    def call(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=copy,
            env=os.environ | {"PYTHONPATH": str(copy), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    checked = json.loads(call("-m", "avce_pl", "data", "check", "diary", "--root", str(faces), "--json"))
    assert checked["clean"]
    assert {split: part["usable"] for split, part in checked["splits"].items()} == {"train": 24, "val": 10, "test": 10}
    assert re.search(r"diary +diary", call("-m", "avce_pl", "data", "protocols"))

    mine = [o for o in tiny if "subject" not in o] + ["dataset=diary", f"root={faces}", "dataset.image_size=64"]
    call("run.py", "experiment=table2", "crl_formula=avce", "mining=none", *mine)
    (folder,) = (tmp_path / "outputs/table2/diary").glob("*/*/*/*/seed_0")
    record = json.loads((folder / "metrics.json").read_text())
    assert record["data"]["rows"] == {"train": 24, "val": 10, "test": 10}
    assert record["data"]["split_hash"] == checked["protocol"]["split_hash"]
    call("-m", "avce_pl", "card", str(folder))
    assert "Data set: `diary`" in (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    table = call("-m", "avce_pl", "table", "table2", "--outputs", str(tmp_path / "outputs"))
    assert "diary" in table
    assert re.search(r"\| AVCE.*\d\.\d", table)

    shipped = ("tests/test_conf.py", "tests/test_arrows.py", "tests/dataset/test_catalogue.py", "tests/test_run.py")
    names = "diary or help or protocol or rooms or page"
    said = call("-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", "-rs", *shipped, "-k", names)
    assert re.search(r"\b\d+ passed", said)
    assert "failed" not in said


def test_a_fault_of_the_new_data_set_names_its_line(copy: Path, faces: Path) -> None:
    lines = (faces / "faces.csv").read_text().splitlines()
    cells = lines[2].split(",")
    cells[-1] = "holdout"
    (faces / "faces.csv").write_text("\n".join([*lines[:2], ",".join(cells), *lines[3:]]))
    command = [sys.executable, "-m", "avce_pl", "data", "check", "diary", "--root", str(faces)]
    environment = os.environ | {"PYTHONPATH": str(copy), "COLUMNS": "200"}
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1
    assert "Line 3: split 'holdout' is not train, val or test." in done.stdout
