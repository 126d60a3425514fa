"""W&B without network: what two rows of a sweep leave behind, read back from its files."""

import getpass
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from avce_pl.config.settings import read_settings
from avce_pl.errors import AvceError
from avce_pl.training import wandb_logger
from avce_pl.utils.resources import ROOT
from tests.support.wandb_files import inspect

SCORES = {f"{name}_{part}" for name in ("ccc", "pcc", "rmse", "sagr") for part in ("valence", "arousal", "mean")}


def test_one_run_a_row_all_below_one_folder(runs, tracked) -> None:
    assert sorted(runs) == sorted(tracked)
    for name, run in runs.items():
        (opened,) = run["records"]["run"]
        assert (opened["run_group"], opened["job_type"], opened["project"]) == ("sweep", "train", "avce-pl")
        assert run["exit_code"] == 0
        assert run["config"]["mining"]["name"] == ("hard" if "hard" in name else "none")
        assert run["config"]["optimizer"]["betas"] == [0.5, 0.9]
    assert runs["al-avce-hard-s0"]["tags"] == ["synthetic", "avce", "al", "hard"]
    assert runs["al-none-none-s1"]["tags"] == ["synthetic", "avce", "al", "none"]


def test_nothing_leaks_from_row_to_row(runs) -> None:
    logged = {name: {key for item in run["records"]["history"] for key in item["item"]} for name, run in runs.items()}
    faces, expressions = logged["al-avce-hard-s0"], logged["al-none-none-s1"]
    assert {key for key in faces if key.startswith("val/")} == {f"val/{name}" for name in SCORES}
    assert "train/loss_crl" in faces - expressions
    assert "val/accuracy" in expressions - faces
    assert not any("ccc" in key for key in expressions)
    for run in runs.values():
        steps = [item["item"]["trainer/global_step"] for item in run["records"]["history"] if "epoch" in item["item"]]
        assert steps == sorted(steps)
        assert (steps[0], steps[-1]) == (0, 6)


def test_losses_are_those_of_the_history(runs) -> None:
    for run in runs.values():
        history = pd.read_csv(run["folder"] / "history.csv").set_index("step")
        items = [item["item"] for item in run["records"]["history"] if "train/loss" in item["item"]]
        assert [item["trainer/global_step"] for item in items] == list(history["train/loss"].dropna().index)
        for item in items:
            for name, value in item.items():
                if name.startswith("train/"):
                    assert history.loc[item["trainer/global_step"], name] == pytest.approx(value, rel=1e-12)


def test_the_summary_is_the_record(runs) -> None:
    for run in runs.values():
        record = json.loads((run["folder"] / "metrics.json").read_text())
        best = {f"best/{name}": value for name, value in record["best"].items()}
        for name, value in (record["test"] | best).items():
            assert run["summary"][name] == pytest.approx(value)
        assert run["config"]["origin"]["commit"] == record["run"]["commit"]
        assert run["config"]["origin"]["fingerprint"] == record["data"]["fingerprint"]


def test_predictions_and_figure_lie_in_the_runs_own_folder(runs) -> None:
    """So that a folder that was copied elsewhere can be synchronised."""
    for run in runs.values():
        files = run["file"].parent / "files"
        shown = json.loads((files / run["summary"]["test/predictions"]["path"]).read_text())
        table = pd.DataFrame(shown["data"], columns=shown["columns"])
        predictions = pd.read_parquet(run["folder"] / "predictions.parquet")
        assert {"row", "predicted_valence"} <= set(table) or {"row", "predicted_expression"} <= set(table)
        pd.testing.assert_frame_equal(table, predictions[list(table)], check_dtype=False)
        figure = files / run["summary"]["test/figure"]["path"]
        assert figure.read_bytes() == (run["folder"] / "figure.png").read_bytes()
        assert "artifact" not in run["records"]
        assert not (run["file"].parents[2] / "not-there").exists()


def test_nothing_of_the_machine_is_recorded(runs) -> None:
    secrets = {"somebody-private", str(Path.home()), str(ROOT), str(Path(sys.prefix).resolve())}
    secrets |= {text for text in (getpass.getuser(), socket.gethostname()) if len(text) > 5}
    for run in runs.values():
        assert not run["records"]["run"][0].get("host")
        secrets.add(str(run["folder"].parents[6]))
        recorded = [run["file"], *(path for path in (run["file"].parent / "files").rglob("*") if path.is_file())]
        for path in recorded:
            content = path.read_bytes()
            assert not [text for text in secrets if text.encode() in content], path
        assert run["config"]["output_root"] == f"…/{run['folder'].parents[6].name}"


def test_sync_finds_the_runs(runs) -> None:
    outputs = next(iter(runs.values()))["file"].parents[2]
    assert not (outputs / "not-here").exists()
    arguments = [sys.executable, "-m", "wandb", "sync", "--dry-run"]
    environment = {name: value for name, value in os.environ.items() if name != "WANDB_SILENT"}
    done = subprocess.run(arguments, cwd=outputs, env=environment, capture_output=True, text=True)
    assert "Would sync 2 run(s)" in done.stdout + done.stderr


def test_without_a_logger_nothing_is_written(trained: Path) -> None:
    assert not (trained.parents[6] / "wandb").exists()


def test_a_run_that_goes_on_begins_with_what_was_logged_before_and_can_fail(trained: Path, tmp_path: Path) -> None:
    config = settings_of(trained, tmp_path)
    settings = read_settings(config)
    settings.folder.mkdir(parents=True)
    rows = "step,epoch,train/loss,val/ccc_mean\n0,0,0.5,\n1,0,,0.25\n2,1,0.125,\n"  # the last one is done again
    (settings.folder / "history.csv").write_text(rows)
    logger = wandb_logger.open_logger(settings, config)
    logger.log_metrics({"train/loss": 0.25, "epoch": 1}, 2)
    logger.log_metrics({"train/loss": 0.0, "epoch": 1}, 3)
    wandb_logger.finish(logger, None, tmp_path)
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    assert json.loads(inspect(file, "--summary"))["exit_code"] == 1
    records = [json.loads(line) for line in inspect(file).splitlines()]
    logged = [record["history"]["item"] for record in records if record["type"] == "history"]
    names = ("trainer/global_step", "train/loss", "val/ccc_mean")
    found = [tuple(item.get(name) for name in names) for item in logged]
    assert found == [(0, 0.5, None), (1, None, 0.25), (2, 0.25, None), (3, 0, None)]


def test_the_mode_of_the_environment_counts(trained: Path, tmp_path: Path, monkeypatch) -> None:
    config = settings_of(trained, tmp_path) | {"logger": {"name": "wandb", "project": "avce-pl", "mode": "auto"}}
    monkeypatch.setenv("WANDB_MODE", "ofline")
    with pytest.raises(AvceError, match="WANDB_MODE=ofline does not work; did you mean offline"):
        wandb_logger.open_logger(read_settings(config), config)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    logger = wandb_logger.open_logger(read_settings(config), config)
    logger.log_metrics({"val/ccc_mean": 0.5})
    wandb_logger.finish(logger, json.loads((trained / "metrics.json").read_text()), trained)
    assert not list(tmp_path.rglob("*.wandb"))


def settings_of(folder: Path, outputs: Path) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((folder / "config.yaml").read_text())
    logger = {"name": "wandb", "project": "avce-pl", "entity": None, "mode": "offline"}
    return config | {"output_root": str(outputs), "logger": logger}


def test_folders_are_left_out_of_a_configuration() -> None:
    config = {"root": "/data/faces", "cache_dir": "~/.cache/x", "backbone": {"weights": "imagenet"}, "n": [1, "/a/b"]}
    expected = {"root": "…/faces", "cache_dir": "…/x", "backbone": {"weights": "imagenet"}, "n": [1, "…/b"]}
    assert wandb_logger.without_folders(config) == expected
