"""Classes of a user's own package, found by --config-dir and built where the user trusts it."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from avce_pl.config import instantiate
from avce_pl.errors import AvceError
from avce_pl.inference.model import load
from tests.support.commands import call

PACKAGE = """
from torch import nn

from avce_pl.backbone.base import Backbone
from avce_pl.similarity.paper import PaperSimilarity


class Blunt(PaperSimilarity):
    pass


class Small(Backbone):
    def __init__(self, latent_dim: int = 8) -> None:
        super().__init__()
        self.latent_dim, self.batch_size = latent_dim, 8
        self.encoder = nn.Sequential(nn.Conv2d(3, 6, 5, stride=4), nn.ReLU())
        self.compressor = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, latent_dim), nn.ReLU())
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A package and a folder of YAMLs; returns the overrides that use them."""
    (tmp_path / "mypackage").mkdir()
    (tmp_path / "mypackage" / "__init__.py").write_text(PACKAGE)
    for group, name, target in (("similarity", "blunt", "Blunt"), ("backbone", "small", "Small")):
        (tmp_path / "myconf" / group).mkdir(parents=True)
        option = {"name": name, "_target_": f"mypackage.{target}"}
        (tmp_path / "myconf" / group / f"{name}.yaml").write_text(yaml.safe_dump(option))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(instantiate, "_trusted", {"avce_pl"})
    return ["--config-dir", str(tmp_path / "myconf"), "similarity=blunt", "backbone=small"]


def test_a_package_of_ones_own_trains_predicts_and_exports(mine: list[str], tiny: list[str], tmp_path: Path) -> None:
    code, _, err = call("run.py", *mine, *tiny)
    assert code == 1
    assert "backbone._target_=mypackage.Small is refused" in err
    assert "add trust=[mypackage]" in " ".join(err.split())
    assert not list(tmp_path.rglob("metrics.json"))

    code, _, err = call("run.py", *mine, *tiny, "trust=[mypackage]")
    assert code == 0, err
    (metrics,) = tmp_path.rglob("metrics.json")
    run = metrics.parent
    assert yaml.safe_load((run / "config.yaml").read_text())["trust"] == ["mypackage"]
    assert not any("trust" in key for key in json.loads((run / "identity.json").read_text()))

    Image.fromarray(np.full((80, 80, 3), 90, np.uint8)).save(tmp_path / "photo.png")
    predict = ["predict", str(tmp_path / "photo.png"), "--run", str(run), "--detector", "centre"]
    code, _, err = call("-m", "avce_pl", *predict)
    assert code == 1, "the run's own list grants nothing"
    assert "--trust mypackage before the command of avce" in " ".join(err.split())
    with pytest.raises(AvceError, match="is refused"):
        load(run)
    code, _, err = call("-m", "avce_pl", "--trust", "mypackage", *predict)
    assert code == 0, err
    code, _, err = call("-m", "avce_pl", "--trust", "mypackage", "export", str(run))
    assert code == 0, err
    faces = [np.full((110, 110, 3), 90, np.uint8)]
    trusted = load(run, trust=["mypackage"]).predict_crops(faces)
    assert load(run / "model.onnx").predict_crops(faces) == pytest.approx(trusted, abs=1e-5)


def test_only_the_named_package_is_trusted(mine: list[str], tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "mypackage", tmp_path / "mypackage_evil")
    instantiate.trust(["mypackage"])
    assert instantiate.build({"_target_": "mypackage.Small"}, "backbone").latent_dim == 8
    for target in ("mypackage_evil.Small", "mypackage.nn", "os.system"):
        with pytest.raises(AvceError, match="is refused"):
            instantiate.build({"_target_": target}, "backbone")
    with pytest.raises(AvceError, match="Is the package installed"):
        instantiate.build({"_target_": "mypackage.missing.Small"}, "backbone")
