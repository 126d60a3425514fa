"""A run folder of version 0.1 with the accidents of the released code, which were settings of AVCE then."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from test_old_run_folder import copied
from typer.testing import CliRunner

from avce_pl import load
from avce_pl.cli.main import app
from avce_pl.config.settings import Settings, read_settings
from avce_pl.errors import AvceError
from avce_pl.method.released import ReleasedAVCE
from avce_pl.training.build import load_run
from avce_pl.training.experiment import run_experiment

ACCIDENTS = {"head_weights": "normal", "stale_moments": True}


@pytest.fixture
def settings(cache: Path, tmp_path: Path) -> Settings:
    """The settings of its command; its files say what version 0.1 wrote."""
    made = copied("interrupted", cache, tmp_path)
    config = yaml.safe_load((made.folder / "config.yaml").read_text())
    config["method"] |= ACCIDENTS
    (made.folder / "config.yaml").write_text(yaml.safe_dump(config))
    identity = json.loads((made.folder / "identity.json").read_text())
    identity |= {f"method.{key}": value for key, value in ACCIDENTS.items()}
    (made.folder / "identity.json").write_text(json.dumps(identity))
    return read_settings(made.model_dump(mode="json") | {"method": config["method"]})


def test_it_predicts_exports_and_opens(settings: Settings) -> None:
    faces = list(np.random.default_rng(0).integers(0, 256, (2, 110, 110, 3), np.uint8))
    prediction = load(settings.folder).predict_crops(faces)
    result = CliRunner().invoke(app, ["export", str(settings.folder)])
    assert result.exit_code == 0, result.output
    assert load(settings.folder / "model.onnx").predict_crops(faces) == pytest.approx(prediction, rel=1e-4)
    module = load_run(settings.folder)
    assert isinstance(module, ReleasedAVCE)
    assert module.stale_moments
    assert not module.dropout_at_test


def test_its_training_is_not_resumed_by_another_class(settings: Settings) -> None:
    changed = r"other settings: method\._target_ \(there avce_pl\.method\.avce\.AVCE, now .*ReleasedAVCE\)\. Give"
    with pytest.raises(AvceError, match=changed):
        run_experiment(settings)
