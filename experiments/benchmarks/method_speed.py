"""S3: how long Baseline, CAF and AVCE take to update their networks and to predict a face, beside the paper's figures.

The paper's protocol (supplement, section 8): images of 224 px, AlexNet, means of 100. Here each method trains through
Lightning on one batch of procedural faces that lies in memory, a few updates at a time in turn with the others, so that
what else the machine does hits all of them; the first updates of every turn warm up. Predictions are of one image.
CUDA is waited for before and after. The paper names neither its batch size nor its machine: compare ratios.

An update of AVCE contains its feature transform, twice where it has two phases. The table names it in each row: the
closed form, which trainings have, beside the two that run a solver. `opt_layer` is the paper's own layer, here with
another solver and for all rows of a batch together.

    python experiments/benchmarks/method_speed.py --out outputs/speed
"""

import argparse
import json
import logging
import platform
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader

from avce_pl.config.override_errors import CONF
from avce_pl.config.settings import Settings, read_settings
from avce_pl.method.base import Method
from avce_pl.report.tables.layout import MISSING, Row, TableLayout
from avce_pl.report.tables.picture import write_pictures
from avce_pl.report.tables.table import ResultTable
from avce_pl.training.build import build_datamodule, build_module
from avce_pl.utils.resources import ROOT

NAMES = {
    "baseline": "Baseline",
    "caf": "CAF",
    "avce": "AVCE",
    "avce_shared": "AVCE, update=shared",
    "baseline_al": "Baseline on AL",
}
TWO_PHASE = ("method=avce", "method.update=two_phase")
OVERRIDES: dict[Row, tuple[str, ...]] = {  # by method and feature transform
    ("baseline", MISSING): ("method=baseline", "backbone=al_full"),
    ("caf", MISSING): ("method=caf",),
    ("avce", "closed_form"): (*TWO_PHASE, "feature_transform=closed_form"),
    ("avce", "opt_layer"): (*TWO_PHASE, "feature_transform=opt_layer"),
    ("avce", "cvxpylayers"): (*TWO_PHASE, "feature_transform=cvxpylayers"),
    ("avce_shared", "closed_form"): ("method=avce", "method.update=shared", "feature_transform=closed_form"),
    ("baseline_al", MISSING): ("method=baseline",),
}
METRICS = {"update_ms": "update ms", "update_ratio": "update ratio", "test_ms": "test ms", "test_ratio": "test ratio"}
BASELINE, BASELINE_AL = ("baseline", MISSING), ("baseline_al", MISSING)
SOLVERS, SOLVER_UPDATES = ("opt_layer", "cvxpylayers"), 10  # seconds each, so fewer of them
TURNS, WARM_UP, PREDICTIONS = 5, 2, 100


class Stopwatch(pl.Callback):
    """The duration of every update after the first ones, in milliseconds."""

    def __init__(self) -> None:
        self.milliseconds: list[float] = []

    def on_train_batch_start(self, *_: Any) -> None:  # noqa: D102
        self.started = now()

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:  # noqa: D102
        if trainer.fit_loop.batch_idx >= WARM_UP:
            self.milliseconds.append(1e3 * (now() - self.started))


def now() -> float:
    """Seconds, when all that was asked of the GPU is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def composed(*overrides: str) -> Settings:
    """The settings of ``python run.py`` with these overrides and the paper's budget."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", ["budget=paper", "dataset=synthetic", "logger=none", *overrides])
    return read_settings(OmegaConf.to_container(config, resolve=True))


def faces(size: int, batch: int) -> dict[str, Tensor]:
    """One batch of procedural faces, normalised."""
    data = build_datamodule(
        composed(
            f"dataset.image_size={size}",
            f"dataset.batch_size={batch}",
            f"dataset.train_subjects={-(-batch // 20)}",
            "dataset.val_subjects=1",
            "dataset.test_subjects=1",
        )
    )
    data.prepare_data()
    data.setup("fit")
    return data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)


def updates(module: Method, batch: dict[str, Tensor], count: int) -> list[float]:
    """Durations of `count` updates, after those that warm up."""
    stopwatch = Stopwatch()
    trainer = pl.Trainer(
        max_epochs=1,
        devices=1,
        callbacks=[stopwatch],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=10_000,
    )
    trainer.fit(module, DataLoader([batch] * (count + WARM_UP), batch_size=None))
    return stopwatch.milliseconds


def predictions(module: Method, image: Tensor, count: int) -> list[float]:
    """Durations of `count` predictions of one image, after some that warm up."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    module.to(device).eval()
    milliseconds = []
    with torch.inference_mode():
        image = image[:1].to(device)
        for turn in range(count + WARM_UP):
            started = now()
            module(image)
            if turn >= WARM_UP:
                milliseconds.append(1e3 * (now() - started))
    return milliseconds


def measure(count: int, size: int, batch_size: int) -> dict[Row, dict[str, list[float]]]:
    """Milliseconds of every update and prediction: method and feature transform -> metric -> values."""
    batch = faces(size, batch_size)
    modules = {row: build_module(composed(*overrides)) for row, overrides in OVERRIDES.items()}
    found: dict[Row, dict[str, list[float]]] = {row: {"update_ms": [], "test_ms": []} for row in modules}
    for _ in track(range(TURNS), f"{len(modules)} rows in turn"):
        for row, module in modules.items():
            wanted = min(count, SOLVER_UPDATES) if row[1] in SOLVERS else count
            found[row]["update_ms"] += updates(module, batch, -(-wanted // TURNS))
            found[row]["test_ms"] += predictions(module, batch["image"], PREDICTIONS // TURNS)
    return found


def make_table(found: dict[Row, dict[str, list[float]]], notes: list[str]) -> ResultTable:
    """The table: means of milliseconds and of their ratios to the Baseline, and the paper's."""
    paper = pd.read_csv(ROOT / "experiments" / "paper" / "speed.csv", comment="#").set_index("method")
    lines = []
    for row, measured in found.items():
        for metric in METRICS:
            kind = metric.removesuffix("_ratio").removesuffix("_ms") + "_ms"
            values = pd.Series(measured[kind])
            ours, published = values.mean(), float(paper[kind].get(row[0], float("nan")))
            spread = values.std()
            if metric.endswith("ratio"):
                ours, spread = ours / statistics.mean(found[BASELINE][kind]), float("nan")
                published /= paper[kind]["baseline"]
            lines.append(
                {
                    "method": row[0],
                    "feature_transform": row[1],
                    "metric": metric,
                    "mean": ours,
                    "sd": spread,
                    "n": len(measured["update_ms"]),
                    "published": published,
                    "difference": ours - published,
                }
            )
    names = {"method": NAMES, "feature_transform": {}}
    layout = TableLayout("Speed: milliseconds, and ratios to the Baseline", names, METRICS, decimals=2)
    return ResultTable(layout, "synthetic", pd.DataFrame(lines), notes)


def main() -> None:
    """Measures, prints the table and writes it as Markdown, CSV, LaTeX, PNG and JSON."""
    cuda = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=100 if cuda else 20, help="the paper has 100")
    parser.add_argument("--batch", type=int, default=256 if cuda else 32, help="images of an update")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--threads", type=int, help="of the CPU; as torch chooses if not given")
    parser.add_argument("--out", type=Path, default=Path("outputs/speed"))
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    found = measure(arguments.updates, arguments.image_size, arguments.batch)
    machine = torch.cuda.get_device_name() if cuda else f"{platform.machine()}, {torch.get_num_threads()} threads"
    notes = [
        f"Means ± standard deviations of n updates of {arguments.batch} images and of {PREDICTIONS} predictions of "
        f"one, {arguments.image_size} px, on {machine}, torch {torch.__version__}.",
        "Published: 224 px, means of 100, batch size and machine not named; compare the ratios.",
        "Baseline is the 61M AlexNet (backbone=al_full), as in the paper; the others are AL.",
        "The feature transform is part of an update, twice in AVCE with two phases, and not of a prediction. Rows with "
        f"opt_layer or cvxpylayers run a solver on the CPU, and have {SOLVER_UPDATES} updates at most.",
        "The paper does not say what its update of AVCE contains. Its own layer is opt_layer, with the solver ECOS row "
        "by row; by the authors' poster these solutions take 1.3 s a batch, more than the whole published update.",
    ]
    means = {row: statistics.mean(measured["update_ms"]) for row, measured in found.items()}
    alike = ", ".join(
        f"{NAMES[row[0]]}{'' if row[1] == MISSING else f' with {row[1]}'} {means[row] / means[BASELINE_AL]:.2f}"
        for row in OVERRIDES
        if row not in (BASELINE, BASELINE_AL)
    )
    notes.append(f"Updates against a Baseline on the same AL: {alike}.")
    if arguments.updates < 100 or arguments.image_size != 224:
        notes.append("Not the paper's protocol: that has 100 updates at 224 px.")
    table = make_table(found, notes)
    paths = [*table.write(arguments.out, "speed"), *write_pictures(table, arguments.out, "speed")]
    values = table.lines.set_index(["method", "feature_transform", "metric"]).round(3).astype(object)
    values = values.where(values.notna(), None)
    record = {"machine": machine, "batch": arguments.batch, "image_size": arguments.image_size, "notes": notes}
    record["methods"] = [
        {"method": row[0], "feature_transform": row[1]}
        | {key: values.loc[(*row, key), "mean"] for key in METRICS}
        | {f"{key}_published": values.loc[(*row, key), "published"] for key in METRICS}
        for row in OVERRIDES
    ]
    paths.append(arguments.out / "speed.json")
    paths[-1].write_text(json.dumps(record, indent=1), encoding="utf-8")
    print(table.markdown())
    print("files: " + ", ".join(str(path) for path in paths))


if __name__ == "__main__":
    main()
