"""Run folders that version 0.1 wrote, on 24 procedural faces: a finished one, and one stopped after its first epoch.

To keep the files small, every large tensor of the checkpoints is filled with its root mean square. Random numbers
of that size take its place here: no test depends on the values.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch import Tensor
from typer.testing import CliRunner

from avce_pl import load
from avce_pl.cli.main import app
from avce_pl.config.settings import Settings, read_settings
from avce_pl.errors import AvceError
from avce_pl.report.tables.table import make_table
from avce_pl.training.build import load_run
from avce_pl.training.experiment import run_experiment

FIXTURE = Path(__file__).parent / "fixtures" / "run_of_version_0.1"


def unpacked(value: Any, key: object = "") -> Any:
    if isinstance(value, dict):
        return type(value)((key, unpacked(inner, key)) for key, inner in value.items())
    if isinstance(value, list):
        return [unpacked(inner) for inner in value]
    if not isinstance(value, Tensor) or all(value.stride()):
        return value
    random = torch.randn(value.shape, generator=torch.Generator().manual_seed(0)) * value
    return random.abs() if str(key).endswith(("exp_avg_sq", "running_var")) else random


def copied(name: str, cache: Path, outputs: Path) -> Settings:
    """Copies the folder to where its command would look for it; returns the settings of that command."""
    config = yaml.safe_load((FIXTURE / name / "config.yaml").read_text())
    config["output_root"] = str(outputs)
    config["dataset"]["cache_dir"] = str(cache)
    settings = read_settings(config)
    shutil.copytree(FIXTURE / name, settings.folder)
    for checkpoint in settings.folder.glob("checkpoints/*.ckpt"):
        torch.save(unpacked(torch.load(checkpoint, weights_only=True)), checkpoint)
    return settings


def test_a_finished_run_is_not_repeated(cache: Path, tmp_path: Path) -> None:
    settings = copied("finished", cache, tmp_path)
    before = {path: path.read_bytes() for path in settings.folder.rglob("*") if path.is_file()}
    assert run_experiment(settings) == json.loads((FIXTURE / "finished" / "metrics.json").read_text())
    assert {path: path.read_bytes() for path in before} == before


def test_other_settings_are_refused(cache: Path, tmp_path: Path) -> None:
    settings = copied("finished", cache, tmp_path)
    settings.method["crl_weight"] = 0.5
    with pytest.raises(AvceError, match=r"other settings: method.crl_weight \(there 0.0256, now 0.5\)"):
        run_experiment(settings)


def test_an_interrupted_run_resumes(cache: Path, tmp_path: Path) -> None:
    settings = copied("interrupted", cache, tmp_path)
    before = pd.read_csv(settings.folder / "history.csv")
    record = run_experiment(settings)
    after = pd.read_csv(settings.folder / "history.csv")
    assert record["updates"] == 6
    assert after["step"].tolist() == [0, 1, 2, 3, 4, 5]
    pd.testing.assert_frame_equal(after.iloc[:3][before.columns], before, check_exact=True)
    assert record["digest"] == json.loads((FIXTURE / "finished" / "metrics.json").read_text())["digest"]


def test_its_model_predicts_and_exports(cache: Path, tmp_path: Path) -> None:
    folder = copied("finished", cache, tmp_path).folder
    faces = np.random.default_rng(0).integers(0, 256, (2, 110, 110, 3), np.uint8)
    prediction = load(folder).predict_crops(list(faces))
    assert prediction == pytest.approx(np.array(expected(folder, faces)), rel=1e-4)
    result = CliRunner().invoke(app, ["export", str(folder)])
    assert result.exit_code == 0, result.output
    assert load(folder / "model.onnx").predict_crops(list(faces)) == pytest.approx(prediction, rel=1e-4)


def expected(folder: Path, faces: np.ndarray) -> list[list[float]]:
    """Crop, normalise and predict, the obvious way."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    images = (torch.from_numpy(faces[:, 7:103, 7:103]) / 255 - mean) / std
    with torch.no_grad():
        return load_run(folder)(images.permute(0, 3, 1, 2)).tolist()


def test_it_has_a_card_and_a_row(cache: Path, tmp_path: Path) -> None:
    settings = copied("finished", cache, tmp_path)
    result = CliRunner().invoke(app, ["card", str(settings.folder)])
    assert result.exit_code == 0, result.output
    assert "0.160" in (settings.folder / "MODEL_CARD.md").read_text()
    assert "0.160" in make_table("finished", tmp_path).markdown()
