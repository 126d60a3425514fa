"""S3: an update of AVCE, and of CAF where it is built, over an update of Baseline with the same backbone.

224 pixels, AL with batches of 32 and R18 with 16, on one batch of random pictures in memory. All methods train through
Lightning with the same optimizers, a few updates at a time in turn; CPU seconds with one thread, the first update of
a turn warms up, medians over all. `method_speed.py` makes the paper's own speed table, with the 61M network.

    python experiments/benchmarks/update_speed.py --json update_speed.json
"""

import logging
import statistics
import time
import warnings
from typing import Any

import pytorch_lightning as pl
import torch
from common import Row, arguments, at_most, finish, note
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch.utils.data import DataLoader

from avce_pl.config.override_errors import CONF
from avce_pl.config.settings import read_settings
from avce_pl.method.base import Method
from avce_pl.training.build import build_module

METHODS = {
    "baseline": ["method=baseline"],
    "two_phase": ["method=avce", "method.update=two_phase"],
    "shared": ["method=avce", "method.update=shared"],
    "caf": ["method=caf"],
}
TARGETS = {"two_phase": 2.05, "shared": 1.05, "caf": 1.8}
UPDATES = 3


class Stopwatch(pl.Callback):
    """CPU seconds of every update but the first."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_batch_start(self, *_: Any) -> None:  # noqa: D102
        self.started = time.process_time()

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:  # noqa: D102
        if trainer.fit_loop.batch_idx:
            self.seconds.append(time.process_time() - self.started)


def module(backbone: str, overrides: list[str]) -> Method:
    """A method as ``python run.py`` builds it."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", ["budget=paper", f"backbone={backbone}", "logger=none", *overrides])
    return build_module(read_settings(OmegaConf.to_container(config, resolve=True)))


def updates(method: Method, batch: dict[str, torch.Tensor]) -> list[float]:
    """Seconds of a few updates."""
    stopwatch = Stopwatch()
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        callbacks=[stopwatch],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(method, DataLoader([batch] * (UPDATES + 1), batch_size=None))
    return stopwatch.seconds


def measure(rounds: int) -> list[Row]:
    """All rows of the benchmark."""
    torch.set_num_threads(1)
    rows = []
    for backbone, size in (("al", 32), ("r18", 16)):
        generator = torch.Generator().manual_seed(0)
        batch = {
            "image": torch.randn(size, 3, 224, 224, generator=generator),
            "label": torch.rand(size, 2, generator=generator) - 0.5,
            "row": torch.arange(size),
        }
        there = {name: given for name, given in METHODS.items() if (CONF / f"method/{given[0][7:]}.yaml").exists()}
        methods = {name: module(backbone, given) for name, given in there.items()}
        seconds: dict[str, list[float]] = {name: [] for name in methods}
        for _ in range(rounds):
            for name, method in methods.items():
                seconds[name] += updates(method, batch)
        medians = {name: statistics.median(values) for name, values in seconds.items()}
        for name, target in TARGETS.items():
            if name in medians:
                what = f"{backbone}, batches of {size}: update of {name} over Baseline's"
                rows.append(at_most("S3", what, medians[name] / medians["baseline"], target))
        rows.append(note("S3", f"{backbone}, update of Baseline, milliseconds", 1e3 * medians["baseline"]))
    return rows


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    given = arguments(__doc__, rounds=4)
    finish(measure(given.rounds), given.json)
