"""A formula added as CONTRIBUTING.md says, in a copy of the project."""

import os
import re
import shutil
from pathlib import Path

from avce_pl.report.tables.table import make_table
from tests.test_run import ROOT, finish, start


def test_a_formula_of_ones_own_gets_its_row(tiny: list[str], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for folder in ("avce_pl", "conf", "experiments"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "run.py", copy)
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for path, kind in (("avce_pl/crl_formula/mine.py", "python"), ("conf/crl_formula/mine.yaml", "yaml")):
        assert f"`{path}`" in text
        (copy / path).write_text(re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)[0], encoding="utf-8")
    video = [o.replace("images_per_subject", "frames_per_video").replace("subjects", "videos") for o in tiny]
    command = "python run.py -m experiment=table2 crl_formula=mine"
    assert command in text
    environment = os.environ | {"PYTHONPATH": str(copy)}
    process = start(str(copy / "run.py"), *command.split()[2:], "mining=none", "seed=0", *video, env=environment)
    code, _, err = finish(process)
    assert code == 0, err
    table = make_table("table2", tmp_path / "outputs", seeds=[0])
    assert ("mine", "none") in table.rows
    line = table.lines[table.lines["crl_formula"] == "mine"].iloc[0]
    assert line["n"] == 1
    assert -1 < line["mean"] < 1
    assert "| mine" in table.markdown()
