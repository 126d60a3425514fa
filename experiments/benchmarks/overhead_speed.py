"""S5: what the suite adds to a training step, over a bare loop of the same mathematics.

The suite: Lightning's Trainer as `experiment.build_trainer` makes it, with history, checkpoints, progress and the
method's own logging every 10 steps. The bare loop calls the same networks, losses and optimizers and nothing else. Both
on a network small enough that a step takes a few milliseconds; CPU seconds a step with one thread, medians of
interleaved rounds. The share is of a step of AL at 224 pixels with batches of 32, bare, in the same run.

    python experiments/benchmarks/overhead_speed.py --json overhead_speed.json
"""

import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from common import Row, arguments, at_most, finish, note
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import Tensor
from torch.utils.data import DataLoader

from avce_pl.config.override_errors import CONF
from avce_pl.config.settings import Settings, read_settings
from avce_pl.functional.metric_regularisation import metric_regularisation_loss
from avce_pl.method.avce import AVCE
from avce_pl.training.build import build_module, build_trainer
from avce_pl.training.callbacks.history import History
from avce_pl.training.callbacks.interruption import Interruption
from avce_pl.training.callbacks.progress import RunProgress

STEPS = 200
Batch = dict[str, Tensor]


def settings(*overrides: str) -> Settings:
    """The settings of ``python run.py`` with these overrides."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", ["logger=none", "trainer.accelerator=cpu", *overrides])
    return read_settings(OmegaConf.to_container(config, resolve=True))


def made(given: Settings, small: bool) -> AVCE:
    """The method, with a small encoder on request."""
    module = build_module(given)
    if small:
        module.backbone.encoder = torch.nn.Conv2d(3, 16, 8, stride=8)
        module.backbone.compressor = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, 32), torch.nn.ReLU())
    assert isinstance(module, AVCE)
    return module


def batches(size: int, side: int) -> Batch:
    """One batch of random pictures."""
    generator = torch.Generator().manual_seed(0)
    image, label = torch.randn(size, 3, side, side, generator=generator), torch.rand(size, 2, generator=generator) - 0.5
    return {"image": image, "label": label, "row": torch.arange(size)}


def bare(module: AVCE, batch: Batch, steps: int) -> float:
    """CPU seconds a step of a plain loop over both phases."""
    module.train()
    trunk = module.optimizer_config.trunk(module.trunk_parameters())
    heads = (module.projection_head, module.discriminative_head)
    auxiliary = module.optimizer_config.heads(p for head in heads for p in head.parameters())
    generator = torch.Generator()

    def step(loss: Tensor) -> None:
        trunk.zero_grad()
        auxiliary.zero_grad()
        loss.backward()
        trunk.step()
        auxiliary.step()

    start = time.process_time()
    for number in range(steps):
        torch.manual_seed(number)
        latent = module.backbone(batch["image"])
        sparse, soft = module.feature_transform(latent)
        anchor = module.regressor(latent)
        views = module.projection_head(sparse), module.projection_head(soft)
        generator.manual_seed(number)
        contrast = module.crl_formula(anchor, *views, module.similarity, module.mining, generator)
        step(module.supervised_loss(anchor, batch["label"]) + module.crl_weight * contrast.loss)
        latent = module.backbone(batch["image"])
        sparse, soft = module.feature_transform(latent)
        features = (module.discriminative_head(view) for view in (latent, sparse, soft))
        step(metric_regularisation_loss(*features, hold_weight=module.hold_weight))
    return (time.process_time() - start) / steps


def suite(given: Settings, module: AVCE, batch: Batch, steps: int, folder: Path) -> float:
    """CPU seconds a step through the suite, without the first steps, in which Lightning sets itself up."""
    moments: list[float] = []

    class Clock(RunProgress):
        def on_train_batch_start(self, *_: Any) -> None:
            moments.append(time.process_time())

    callbacks = [Interruption(folder / "last.ckpt", 60), Clock("val/ccc_mean", given.label)]
    trainer = build_trainer(given, folder, callbacks, [History(folder / "history.csv")])
    trainer.limit_val_batches = 0
    trainer.fit(module, DataLoader([batch] * (steps + 20), batch_size=None))
    return (moments[-1] - moments[19]) / (len(moments) - 20)


def measure(rounds: int) -> list[Row]:
    """All rows of the benchmark."""
    torch.set_num_threads(1)
    given = settings("trainer.max_epochs=1", "trainer.log_every_n_steps=10", "method.update=two_phase")
    small, batch = made(given, small=True), batches(8, 32)
    large, pictures = made(settings("budget=paper"), small=False), batches(32, 224)
    seconds: dict[str, list[float]] = {"bare": [], "suite": [], "AL": []}
    with tempfile.TemporaryDirectory() as name:
        work: dict[str, Callable[[], float]] = {
            "bare": lambda: bare(small, batch, STEPS),
            "suite": lambda: suite(given, small, batch, STEPS, Path(name)),
            "AL": lambda: bare(large, pictures, 2),
        }
        for turn in range(rounds + 1):
            for what, call in work.items():
                taken = call()
                if turn:
                    seconds[what].append(taken)
    added = statistics.median(a - b for a, b in zip(seconds["suite"], seconds["bare"], strict=True))
    step = statistics.median(seconds["AL"])
    return [
        at_most("S5", "milliseconds the suite adds to a training step", 1e3 * added, 2.0),
        at_most("S5", "the same as a share of an AL step (224 px, batches of 32)", added / step, 0.03),
        note("S5", "bare step of the small network, milliseconds", 1e3 * statistics.median(seconds["bare"])),
        note("S5", "bare step of AL, milliseconds", 1e3 * step),
    ]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    given = arguments(__doc__, rounds=7)
    finish(measure(given.rounds), given.json)
