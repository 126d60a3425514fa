"""Attacks that fail: what comes from elsewhere is read, never executed, never followed out of its folder."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from avce_pl.backbone.alexnet import AlexNet
from avce_pl.config.instantiate import build
from avce_pl.config.open_dataset import open_dataset
from avce_pl.dataset.check.check import check
from avce_pl.dataset.check.samples import REGIONS
from avce_pl.dataset.core.index import FaceIndex
from avce_pl.errors import AvceError
from avce_pl.inference.import_released import import_official
from avce_pl.inference.network import load_network
from avce_pl.report.pages.check import check_page
from avce_pl.runs.folder import open_run
from avce_pl.training.build import load_run
from tests.support.runs import train


class Attack:
    """Makes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


@pytest.fixture
def trace(tmp_path: Path):
    """The file that an attack would make; the test fails if it did."""
    file = tmp_path / "executed"
    yield file
    assert not file.exists(), "the attack was executed"


@pytest.fixture
def attack(tmp_path: Path, trace: Path) -> Path:
    """A file of weights that executes code when it is unpickled."""
    file = tmp_path / "attack.ckpt"
    torch.save({"state_dict": {"weight": torch.zeros(1)}, "extra": Attack(trace)}, file)
    return file


def test_the_attack_works_on_those_who_unpickle(tmp_path: Path) -> None:
    torch.save(Attack(tmp_path / "victim"), tmp_path / "file")
    torch.load(tmp_path / "file", weights_only=False)
    assert (tmp_path / "victim").exists()


def test_pretrained_weights(attack: Path) -> None:
    with pytest.raises(AvceError, match="It was not executed"):
        AlexNet(weights=str(attack))


def test_official_weights(attack: Path, tmp_path: Path) -> None:
    with pytest.raises(AvceError, match="It was not executed"):
        import_official(attack, attack, "al", tmp_path / "out")


def test_run_folders_of_others(trained: Path, attack: Path, trace: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(trained, tmp_path / "run")
    shutil.copy(attack, folder / "checkpoints/best.ckpt")
    for read in (load_run, lambda path: load_network(open_run(path))):
        with pytest.raises(AvceError, match="It was not executed"):
            read(folder)
    (folder / "config.yaml").write_text(f"!!python/object/apply:os.system ['touch {trace}']\n")
    with pytest.raises(AvceError, match=r"config\.yaml is not the configuration of a run"):
        load_run(folder)


def test_weights_to_start_from_and_checkpoints_to_go_on_from(
    tiny: list[str], trained: Path, attack: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(trained, tmp_path / "run")
    shutil.copy(attack, folder / "checkpoints/best.ckpt")
    with pytest.raises(AvceError, match="It was not executed"):
        train([*tiny, f"init_from={folder}", "name=tuned"])
    mine = [*tiny, "method.batch_norm=false"]
    goal = tmp_path / "outputs" / Path(*trained.parts[-7:])
    shutil.copytree(trained, goal)
    (goal / "metrics.json").unlink()
    shutil.copy(attack, goal / "checkpoints/last.ckpt")
    with pytest.raises(AvceError, match=r"last\.ckpt cannot be read as tensors and plain values.*It was not executed"):
        train(mine)


@pytest.mark.parametrize(
    "target",
    [
        *(
            "os.system",
            "subprocess.Popen",
            "builtins.eval",
            "avce_pl_evil.Thing",
            "avce_pl.training.experiment.os.system",
        ),
        *("avce_pl.training.experiment.os", "avce_pl.training.experiment.Path", "avce_pl.dataset.core.cache.cached"),
    ],
)
def test_classes_from_elsewhere_are_not_built(target: str) -> None:
    with pytest.raises(AvceError, match=r"_target_=.* (is refused|cannot be imported)"):
        build({"name": "x", "_target_": target, "command": "true"}, "backbone")


@pytest.mark.parametrize(
    "path", ["../secret.jpg", "a/../../secret.jpg", "/etc/passwd", "C:/secret.jpg", "a\\..\\..\\b.jpg"]
)
def test_paths_out_of_the_folder(tmp_path: Path, path: str) -> None:
    root = tmp_path / "faces"
    root.mkdir()
    for split in ("training", "validation"):
        (root / f"{split}.csv").write_text(f"filePath,valence,arousal\n{path},0.1,0.2\n")
    with pytest.raises(AvceError, match=r"leads out of|inside the root|relative|outside"):
        open_dataset("csv", root, []).open_index()


def test_caches_are_not_unpickled(trace: Path, tmp_path: Path, trained: Path, cache: Path) -> None:
    folder = next(path for path in cache.iterdir() if (path / "images.npy").exists())
    forged = shutil.copytree(folder, tmp_path / "forged")
    for file in forged.glob("*.npy"):
        np.save(file, np.array([Attack(trace)], object))
    with pytest.raises(ValueError, match=r"allow_pickle|Python objects"):
        FaceIndex.load(forged)


def test_names_of_files_are_text_on_the_page(tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>.jpg"
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    lines = []
    for number in range(8):
        cv2.imwrite(str(tmp_path / f"{number}{name}"), picture + number)
        lines.append(f'"{number}{name}",0.{number},0.2\n')
    (tmp_path / "training.csv").write_text(
        "filePath,valence,arousal\n" + "".join(lines[:6]) + f'"missing{name}",0.1,0.1\n'
    )
    (tmp_path / "validation.csv").write_text("filePath,valence,arousal\n" + "".join(lines[6:]))
    made = check(open_dataset("csv", tmp_path, [f"cache_dir={tmp_path / 'cache'}"]), "csv<script>")
    page = check_page(made.record, made.samples, REGIONS)
    assert "onerror=alert(1)&gt;" in page
    assert "<img src=x" not in page
    assert "csv<script>" not in page
