"""Weights & Biases: one run per training, online where a key is configured, offline otherwise, never a prompt."""

import functools
import logging
from pathlib import Path
from typing import Any

import pandas as pd
import wandb
from pytorch_lightning.loggers import WandbLogger

from avce_pl.settings import Section, Settings
from avce_pl.wandb_key import has_key

log = logging.getLogger(__name__)


def wandb_logger(settings: Settings, config: Section) -> WandbLogger:
    """Opens the W&B run of one training.

    All runs below one ``output_root`` share the folder ``<output_root>/wandb``, so that ``wandb leet`` shows a whole
    sweep. The mode is passed explicitly and each run is created anew: neither leaks into the next row.
    """
    mode = settings.logger.mode
    if mode in (None, "auto"):
        mode = "online" if has_key() else "offline"
    folder = settings.output_root.absolute()
    (folder / "wandb").mkdir(parents=True, exist_ok=True)
    _announce(mode, folder / "wandb")
    choices = [settings.backbone["name"], settings.crl_formula["name"], settings.mining["name"]]
    logger = WandbLogger(
        save_dir=folder,
        project=settings.logger.project,
        entity=settings.logger.entity,
        mode=mode,
        reinit="create_new",
        group=settings.name,
        name=settings.label,
        tags=[settings.dataset["name"], settings.method["name"], *choices],
        job_type="train",
        config=config,
        settings=wandb.Settings(console="off", quiet=True, silent=True, x_disable_stats=True, x_disable_meta=True),
    )
    logger._wandb_init.pop("anonymous", None)  # Lightning passes it and W&B warns about it on every run
    run = logger.experiment
    run.define_metric("val/*", step_metric="epoch")
    return logger


@functools.cache  # once, not in every row of a sweep
def _announce(mode: str, folder: Path) -> None:
    log.info("W&B is %s%s", mode, f"; `wandb leet {folder}` shows the runs" if mode == "offline" else "")


def finish(logger: WandbLogger, record: dict[str, Any] | None, folder: Path) -> None:
    """Adds the results to the run's summary and ends it; without a record the run counts as failed."""
    run = logger.experiment
    if record is not None:
        run.summary.update({f"best/{name}": value for name, value in record["best"].items()} | record["test"])
        columns = ["row", "valence", "arousal", "predicted_valence", "predicted_arousal"]
        if classes := record["data"].get("classes"):
            columns = [
                "row",
                "expression",
                "predicted_expression",
                *(f"probability_{name.lower()}" for name in classes),
            ]
        table = pd.read_parquet(folder / "predictions.parquet", columns=columns)
        run.log({"test/predictions": wandb.Table(dataframe=table)})
        if (folder / "figure.png").exists():
            run.log({"test/figure": wandb.Image(str(folder / "figure.png"))})
    run.finish(exit_code=0 if record is not None else 1)
