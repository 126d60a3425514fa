"""One table of metrics: what is added to it, or what only training logs, is shown everywhere."""

import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from avce_pl.report.figures.analysis import draw_analysis
from avce_pl.report.metrics import AXES, METRICS, Metric, columns, measure, names, title
from avce_pl.report.model_card import write_model_card
from avce_pl.report.pages.report import report_page
from avce_pl.report.summary import print_run
from avce_pl.report.tables import layout
from avce_pl.report.tables.table import make_table
from avce_pl.runs.predictions import open_runs
from avce_pl.utils.resources import ROOT


def documented() -> dict[str, Metric]:
    """The metric that docs/report.md adds."""
    (entry,) = re.findall(r"^\"mae\": Metric\(.*\),$", (ROOT / "docs/report.md").read_text(), re.MULTILINE)
    return eval(f"{{{entry}}}")


@pytest.fixture
def outputs(trained: Path, tmp_path: Path) -> Path:
    """An output_root with the trained run as two of Table 2's and as one of another sweep."""
    for name, formula in (("table2", "avce"), ("table2", "none"), ("mine", "avce")):
        folder = tmp_path / "outputs" / name / "synthetic/avce/al" / formula / "none/seed_0"
        shutil.copytree(trained, folder)
        identity = json.loads((folder / "identity.json").read_text())
        (folder / "identity.json").write_text(json.dumps(identity | {"crl_formula.name": formula}))
    return tmp_path / "outputs"


def run_of(outputs: Path) -> Path:
    return outputs / "mine/synthetic/avce/al/avce/none/seed_0"


def printed(folder: Path) -> str:
    console = Console(file=io.StringIO(), width=120)
    print_run(folder, json.loads((folder / "metrics.json").read_text()), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def line_of(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.strip("│┃| ").startswith(start))


def test_a_metric_is_added_in_one_place(outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("conf", "experiments/tables", "experiments/paper"):
        shutil.copytree(ROOT / folder, tmp_path / "root" / folder)
    file = tmp_path / "root/experiments/tables/table2.yaml"
    file.write_text(file.read_text().replace("metrics: [", "metrics: [test/mae_valence, test/mae_mean, "))
    monkeypatch.setattr(layout, "ROOT", tmp_path / "root")
    monkeypatch.setitem(METRICS, "mae", documented()["mae"])
    folder = run_of(outputs)
    predictions = pd.read_parquet(folder / "predictions.parquet")
    error = {axis: (predictions[axis] - predictions[f"predicted_{axis}"]).abs().mean() for axis in AXES}

    text = printed(folder)
    assert "MAE" in line_of(text, "on the test split")
    assert all(f"{error[axis]:.3f}" in line_of(text, axis) for axis in AXES)
    card = write_model_card(folder).read_text()
    assert "| CCC | PCC | RMSE | SAGR | MAE |" in card
    assert all(f"| {error[axis]:.3f} (" in line_of(card, axis) for axis in AXES)
    table = make_table("table2", outputs)
    assert {"MAE V", "MAE mean"} < set(table.headers)
    values = table.lines[table.lines["crl_formula"] == "avce"].set_index("metric")["mean"].dropna()
    assert values["test/mae_valence"] == pytest.approx(error["valence"])
    assert values["test/mae_mean"] == pytest.approx(np.mean([*error.values()]))
    assert {"MAE V", "MAE A"} < set(make_table("mine", outputs).headers)
    page = report_page(outputs)
    assert "<th scope=col>MAE A</th>" in page
    assert page.count(f"<td>{error['arousal']:.3f}</td>") >= 3
    assert columns(())["test/mae_valence"] == "MAE V", "the dashboards' columns"
    _, figure = draw_analysis(open_runs([folder]))
    found = figure["intervals"]["AVCE"]["mae_valence"]
    assert found.low < found.value < found.high


def test_what_only_training_logs_is_shown_as_logged(outputs: Path) -> None:
    folder = run_of(outputs)
    record = json.loads((folder / "metrics.json").read_text())
    record["test"] |= {"test/mae_valence": 0.123, "test/mae_arousal": 0.456, "test/mae_mean": 0.29, "test/faces": 16}
    (folder / "metrics.json").write_text(json.dumps(record))
    assert "0.456" in line_of(printed(folder), "arousal")
    card = write_model_card(folder).read_text()
    assert line_of(card, "valence").endswith("| 0.123 |")
    assert [*make_table("mine", outputs).headers][1:6] == ["CCC V", "CCC A", "RMSE V", "RMSE A", "MAE V"]
    page = report_page(outputs)
    assert "<th scope=col>MAE V</th>" in page
    assert "<th scope=col>faces</th>" in page
    assert "<td>0.456</td>" in page


def test_titles_and_columns() -> None:
    keys = ["test/ccc_valence", "test/ccc_mean", "test/accuracy_macro", "test/mae_arousal", "test/top_two"]
    assert [title(key) for key in keys] == ["CCC V", "CCC mean", "mean of classes", "MAE A", "top two"]
    assert names(keys) == ["ccc", "pcc", "rmse", "sagr", "mae"]
    both = columns([["test/accuracy"], ["test/rmse_valence", "test/rmse_mean", "test/f1_mean"]])
    assert [*both.values()] == ["CCC V", "CCC A", "RMSE V", "RMSE A", "accuracy", "F1 mean"]
    assert [*columns([["test/accuracy", "test/f1_macro"]]).values()] == ["accuracy", "macro F1"]


def test_metrics_are_those_that_training_logs(trained: Path) -> None:
    logged = json.loads((trained / "metrics.json").read_text())["test"]
    predictions = pd.read_parquet(trained / "predictions.parquet")
    for metric in METRICS:
        for axis, value in measure(predictions, metric).items():
            assert value == pytest.approx(logged[f"test/{metric}_{axis}"], abs=1e-5)
