"""Tables from run folders that this file writes, in the form in which runs leave them."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from avce_pl.errors import AvceError
from avce_pl.report.figures.run import caption
from avce_pl.report.tables.layout import read_layout
from avce_pl.report.tables.picture import write_pictures
from avce_pl.report.tables.table import make_table
from avce_pl.utils.resources import ROOT

FORMULAS, MININGS = ("infonce", "barlow_twins", "avce"), ("none", "debiased", "hard")
ROWS = [*((formula, mining) for formula in FORMULAS for mining in MININGS), ("none", "none"), ("avce_shuffled", "none")]
SEEDS = range(3)


def write_run(outputs: Path, formula: str, mining: str, seed: int, ccc: float, **settings) -> Path:
    folder = outputs / "table2/synthetic_video/avce/al" / formula / mining / f"seed_{seed}"
    folder.mkdir(parents=True)
    shared = {"trainer.max_epochs": 5, "crl_formula.name": formula, "mining.name": mining, "seed": seed}
    (folder / "identity.json").write_text(json.dumps(shared | settings))
    test = {"test/ccc_valence": ccc, "test/ccc_arousal": ccc / 2}
    record = {"test": test, "data": {"protocol": "synthetic_video", "fingerprint": "f00"}}
    record |= {"parameters": {}, "run": {"commit": "abc"}}
    (folder / "metrics.json").write_text(json.dumps(record))
    return folder


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """A Table 2 of three seeds: the CCC of the n-th row and seed s is n / 10 + s / 100."""
    for number, row in enumerate(ROWS):
        for seed in SEEDS:
            write_run(tmp_path, *row, seed, number / 10 + seed / 100)
    return tmp_path


def test_mean_sd_and_difference_over_seeds(outputs: Path) -> None:
    table = make_table("table2", outputs, seeds=SEEDS)
    line = table.lines[(table.lines["crl_formula"] == "avce") & (table.lines["mining"] == "none")].iloc[0]
    values = [0.60, 0.61, 0.62]
    assert line["metric"] == "test/ccc_valence"
    assert line["mean"] == pytest.approx(np.mean(values))
    assert line["sd"] == pytest.approx(np.std(values, ddof=1))
    assert line["n"] == 3
    assert line["published"] == 0.682
    assert "difference" not in line
    assert "| AVCE" in table.markdown()
    assert "0.610 ± 0.010" in table.markdown()
    assert len(table.lines) == 22
    half = scipy.stats.t(2).ppf(0.975) * 0.01 / np.sqrt(3)
    assert (line["mean_low"], line["mean_high"]) == pytest.approx((0.61 - half, 0.61 + half))
    assert "not comparable with the published ones" in table.notes[0]
    assert "Commit abc." in table.notes
    assert not any("Missing" in note or "Failed" in note for note in table.notes)


def test_failed_missing_and_unfinished_rows_are_marked(outputs: Path) -> None:
    runs = outputs / "table2/synthetic_video/avce/al"
    (runs / "avce/hard/seed_1/failed.txt").write_text("Traceback")  # beside its old numbers
    (runs / "infonce/none/seed_0/metrics.json").unlink()
    table = make_table("table2", outputs, seeds=SEEDS)
    hard = table.lines[(table.lines["crl_formula"] == "avce") & (table.lines["mining"] == "hard")].iloc[0]
    assert hard["n"] == 2
    assert hard["mean"] == pytest.approx(0.81)
    text = table.markdown()
    assert "Failed, see failed.txt in the run's folder: avce/hard/seed 1." in text
    assert "Missing or unfinished runs: infonce/none (seed 0)." in text


def test_runs_with_other_settings_are_not_served(outputs: Path) -> None:
    folder = outputs / "table2/synthetic_video/avce/al/avce/none/seed_2"
    settings = json.loads((folder / "identity.json").read_text())
    (folder / "identity.json").write_text(json.dumps(settings | {"trainer.max_epochs": 50}))
    table = make_table("table2", outputs)
    line = table.lines[(table.lines["crl_formula"] == "avce") & (table.lines["mining"] == "none")].iloc[0]
    assert line["n"] == 2
    assert "Left out for other settings (trainer.max_epochs=50): avce/none/seed 2." in table.notes


def test_a_row_of_ones_own_gets_its_line(outputs: Path) -> None:
    write_run(outputs, "mine", "none", 0, 0.9)
    text = make_table("table2", outputs, seeds=[0]).markdown()
    assert "| mine" in text
    assert "0.900" in text


def test_any_sweep_has_a_table(outputs: Path) -> None:
    (outputs / "table2").rename(outputs / "mine")
    table = make_table("mine", outputs)
    contrast = "contrast: |Sp−Sm|, |y_a−y_n|"
    assert table.headers == ["crl formula", "mining", "CCC V", "CCC A", "RMSE V", "RMSE A", contrast, "n"]
    assert "not comparable with any published ones" in table.notes[0]


def test_files_and_picture(outputs: Path, tmp_path: Path) -> None:
    table = make_table("table2", outputs)
    paths = table.write(tmp_path / "out", "table2")
    assert [path.suffix for path in paths] == [".md", ".csv", ".tex"]
    read = pd.read_csv(tmp_path / "out/table2.csv", comment="#", keep_default_na=False)
    np.testing.assert_allclose(read["mean"].astype(float), table.lines["mean"])
    latex = (tmp_path / "out/table2.tex").read_text()
    assert latex.count("\\\\") == 12
    assert "synthetic\\_video" in latex
    assert "±" not in latex
    assert [path.name for path in write_pictures(table, tmp_path / "out", "table2")] == ["table2.png"]
    assert (tmp_path / "out/table2.png").stat().st_size > 20_000


@pytest.mark.parametrize(("dataset", "said"), [("synthetic", True), ("synthetic_video", True), ("csv", False)])
def test_a_runs_picture_says_that_faces_are_procedural(dataset: str, said: bool) -> None:
    names = dict.fromkeys(("method", "backbone", "crl_formula", "mining"), "avce")
    record = {**names, "dataset": dataset, "seed": 0, "data": {"test_split": "test"}}
    assert ("not comparable with published numbers" in caption(record, 10)) is said


def test_errors_are_sentences(outputs: Path) -> None:
    with pytest.raises(AvceError, match=r"table9 holds no runs. There are: table2. Run"):
        make_table("table9", outputs)
    with pytest.raises(AvceError, match="holds no runs on aff_wild, only on synthetic_video"):
        make_table("table2", outputs, dataset="aff_wild")
    (outputs / "table2/csv/avce/al/avce/none/seed_0").mkdir(parents=True)
    with pytest.raises(AvceError, match="Choose one with --dataset NAME"):
        make_table("table2", outputs)
    (outputs / "table2/csv/avce/al/avce/none/seed_0/identity.json").write_text("{")
    with pytest.raises(AvceError, match=r"identity.json is damaged .* Delete the run's folder"):
        make_table("table2", outputs, dataset="csv")


def test_the_published_numbers_are_those_of_the_sweep() -> None:
    layout = read_layout("table2")
    assert layout is not None
    published = [tuple(row) for row in layout.published[["crl_formula", "mining"]].to_numpy()]
    assert published == [row for row in layout.swept if row[0] in FORMULAS]
    assert {("none", "none"), ("avce_shuffled", "none")} < set(layout.swept)
    assert len(layout.swept) == len(ROWS)
    assert layout.seeds[:3] == [0, 1, 2]


def test_the_command_needs_no_torch(outputs: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    for name in ("torch", "pytorch_lightning", "torchvision", "hydra"):
        (blocked / name).mkdir(parents=True)
        (blocked / name / "__init__.py").write_text(f"raise ImportError('no {name} here')")
    environment = os.environ | {"PYTHONPATH": f"{blocked}{os.pathsep}{ROOT}"}
    arguments = [sys.executable, "-m", "avce_pl", "table", "table2", "--outputs", str(outputs)]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Barlow Twins" in done.stdout
    assert (outputs / "table2/table2.png").exists()


def test_a_thousand_runs_take_seconds(tmp_path: Path) -> None:
    for seed in range(1000):
        write_run(tmp_path, "avce", "none", seed, 0.5)
    start = time.process_time()
    assert make_table("table2", tmp_path, seeds=range(1000)).lines["n"].max() == 1000
    assert time.process_time() - start < 30  # a guard against quadratic work, not a measurement


TABLES = ["table1", "table2", "table3", "table4", "table5"]


@pytest.mark.parametrize("name", TABLES)
def test_every_table_prints_what_is_published_and_has_the_rows_of_its_sweeps(name: str, tmp_path: Path) -> None:
    """One run alone: everything else is missing and said to be."""
    layout = read_layout(name)
    assert layout is not None
    choices = {"method": "avce", "backbone": "al", "crl_formula": "avce", "mining": "none"}
    choices |= dict(zip(layout.rows, layout.swept[-1], strict=True))
    folder = tmp_path / name / "synthetic" / "/".join(choices.values()) / "seed_0"
    folder.mkdir(parents=True)
    identity = {"trainer.max_epochs": 1, "dataset.image_size": 64, "seed": 0, "trainer.limit_train_batches": 1.0}
    (folder / "identity.json").write_text(json.dumps(identity))
    record = {
        "test": dict.fromkeys(layout.metrics, 0.5),
        "data": {"protocol": "synthetic", "fingerprint": "f00", "classes": ["a", "b"]},
        "run": {"commit": "abc"},
        "parameters": {"inference": 3_060_122, "all": 3_652_618},
        **({"confusion": [[3, 1], [0, 4]]} if name == "table3" else {}),
    }
    (folder / "metrics.json").write_text(json.dumps(record))
    table = make_table(name, tmp_path)
    assert {tuple(row) for row in layout.swept} <= set(table.rows)
    assert len(table.names) == len(table.cells) == len(table.rows)
    assert all(len(cells) + len(layout.rows) == len(table.headers) for cells in table.cells)
    text = table.markdown()
    printed = [value for metric in layout.metrics for value in layout.published[metric].dropna()]
    assert len(printed) > 3
    assert all(f"{value:.{layout.decimals}f}" in text for value in printed)
    assert "procedural faces" in text.lower()
    assert "not comparable with the published ones" in text
    assert "Budget: 64 px, 1 epoch." in text
    missing = next(note for note in table.notes if note.startswith("Missing or unfinished runs"))
    assert missing.count(f"(all {len(layout.seeds)} seeds)") == len(layout.swept) - 1
    others = layout.seeds[1:]
    assert (f"{others[0]} to {others[-1]})" if len(others) > 3 else f"{', '.join(map(str, others))})") in missing
    for key, options in layout.rows.items():
        folders = {path.stem for path in (ROOT / "conf" / key).glob("*.yaml")}
        assert set(options) <= folders, "a row is an option"
    pictures = write_pictures(table, tmp_path, "table")
    assert len(pictures) == (2 if name == "table3" else 1)
    assert all(path.stat().st_size > 10_000 for path in pictures)
    assert latex_is_plain(table.latex())
    if name == "table1":
        assert "| Jang et al. † " in text
        assert "3.06M" in text
        assert "3.65M" in text
        assert "| 61M" in text
        assert "† as published, on affectnet; not trained here." in text
        assert "Jang et al. is published only: Face-SSD is a detector" in text
    if name == "table3":
        assert table.confusions == [(layout.swept[-1], ["a", "b"], [[3, 1], [0, 4]])]
        assert pictures[1].name == "table_confusion.png"


def latex_is_plain(latex: str) -> bool:
    return "†" not in latex and "±" not in latex


def test_rows_that_differ_in_what_their_method_brings_are_one_table(tmp_path: Path) -> None:
    for method, formula, rate in (("caf", "none", 1e-4), ("avce", "avce", 2e-4)):
        folder = tmp_path / "table1/synthetic" / method / "al" / formula / "none/seed_0"
        folder.mkdir(parents=True)
        settings = {"method.name": method, "crl_formula.name": formula, "optimizer.learning_rate": rate, "seed": 0}
        (folder / "identity.json").write_text(json.dumps(settings))
    assert not any("Left out" in note for note in make_table("table1", tmp_path).notes)


def test_a_sweep_of_expressions_has_a_table_of_accuracies(tmp_path: Path) -> None:
    folder = tmp_path / "mine/synthetic_expression/avce/al/avce/none/seed_0"
    folder.mkdir(parents=True)
    test = {"test/accuracy": 0.5, "test/accuracy_macro": 0.4, "test/f1_macro": 0.3}
    record = {"test": test, "data": {"protocol": "synthetic", "fingerprint": "f00"}}
    record |= {"parameters": {}, "run": {"commit": "abc"}}
    (folder / "metrics.json").write_text(json.dumps(record))
    (folder / "identity.json").write_text('{"seed": 0}')
    assert make_table("mine", tmp_path).cells == [["0.500", "0.400", "0.300", "not measured", "1"]]
