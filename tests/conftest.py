import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support.runs import smallest_run, train
from tests.support.wandb_files import read_runs

os.environ["WANDB_SILENT"] = "true"
os.environ.setdefault("MPLBACKEND", "agg")

settings.register_profile("ci", deadline=None, derandomize=True)  # the same cases every time; deep draws new ones
settings.register_profile("deep", deadline=None, max_examples=10_000, suppress_health_check=list(HealthCheck))
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("filterwarnings", "ignore:Pydantic V1 style:DeprecationWarning")  # wandb-workspaces uses it


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    """One cache of rendered faces for the whole session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def tiny(cache: Path, tmp_path: Path) -> list[str]:
    """Overrides for the smallest run there is."""
    return smallest_run(cache, tmp_path / "outputs")


@pytest.fixture
def run(tiny: list[str]) -> Callable[..., Path]:
    """Trains the tiny run with further overrides, in this process; returns its folder."""

    def start(*overrides: str) -> Path:
        synthetic = not any(override.startswith("dataset=") for override in overrides)
        return train([*(o for o in tiny if synthetic or "subject" not in o), *overrides])

    return start


@pytest.fixture(scope="session")
def trained(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tiny run, trained once; not to be changed."""
    # after six batches BatchNorm's running moments are far off, and predictions so large that they round at 1e-5
    return train([*smallest_run(cache, tmp_path_factory.mktemp("trained")), "method.batch_norm=false"])


@pytest.fixture(scope="session")
def tracked(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two rows with W&B, offline, in this process: what they are called -> their folders; not to be changed."""
    outputs = tmp_path_factory.mktemp("tracked")
    overrides = [o for o in smallest_run(cache, outputs) if o != "logger=none"]
    overrides += ["method.batch_norm=false", "name=sweep", "logger.mode=offline"]
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("WANDB_DIR", str(outputs / "not-here"))
        environment.setenv("WANDB_DATA_DIR", str(outputs / "not-there"))
        for name in ("USER", "LOGNAME"):
            environment.setenv(name, "somebody-private")
        return {
            "al-avce-hard-s0": train([*overrides, "mining=hard"]),
            "al-none-none-s1": train(
                [*overrides, "crl_formula=none", "seed=1", "dataset.task=expression", "dataset.labels=raf_db"]
            ),
        }


@pytest.fixture(scope="session")
def runs(tracked: dict[str, Path]) -> dict[str, dict[str, Any]]:
    """Name of a run of `tracked` -> its summary by W&B, its records by kind, its file and its folder."""
    return read_runs(tracked)


@pytest.fixture
def cut_provided() -> Callable[..., None]:
    """Prepares a data set's videos in the plainest way: the boxes of its owners are cut out."""
    import csv

    import cv2

    from avce_pl.dataset.files.video_source import PREPARED, PREPARED_COLUMNS, VideoReader

    def cut(reader: VideoReader, folder: Path) -> None:
        rows: list[list[object]] = []
        for source in reader.videos():
            (folder / source.name).mkdir(parents=True)
            if source.stills is None:
                video, pictures = cv2.VideoCapture(str(source.path)), []
                while (read := video.read())[0]:
                    pictures.append(read[1])
            else:
                pictures = [cv2.imread(str(path)) for path in source.stills]
            for frame, picture in enumerate(pictures):
                x, y, w, h = (round(edge) for edge in source.boxes.get(frame, (0, 0, 0, 0)))
                name = f"{source.name}/{frame}.jpg" if w else ""
                if w:
                    cv2.imwrite(str(folder / name), picture[y : y + h, x : x + w])
                rows.append([name, source.name, frame, x, y, w, h, "provided"])
        with (folder / PREPARED).open("w", newline="") as file:
            csv.writer(file).writerows([PREPARED_COLUMNS, *rows])

    return cut
