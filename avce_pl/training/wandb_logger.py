"""Weights & Biases: one run per training, online where a key is configured, offline otherwise, never a prompt."""

import functools
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pandas as pd
import wandb
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from avce_pl.config.settings import Section, Settings
from avce_pl.errors import AvceError
from avce_pl.utils.text import nearest
from avce_pl.utils.wandb_key import has_key

log = logging.getLogger(__name__)

_MODES = ("online", "offline", "disabled")


class ResumedLogger(WandbLogger):
    """A W&B run that begins with what an interrupted training had logged before.

    W&B cannot append to an offline run, so a resumed training gets a run of its own; with the earlier rows of
    ``history.csv`` it is whole.
    """

    def __init__(self, history: Path, **options: Any) -> None:
        super().__init__(**options)
        self._history = history
        self._fresh = True

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Logs the values of one step, and before the first of them those of the steps before it."""
        if self._fresh and self._history.exists():
            for row in pd.read_csv(self._history).to_dict("records"):
                if row["step"] < (step or 0):
                    values = {str(name): value for name, value in row.items() if name != "step" and pd.notna(value)}
                    super().log_metrics(values, int(row["step"]))
        self._fresh = False
        super().log_metrics(metrics, step)


def open_logger(settings: Settings, config: Section) -> WandbLogger:
    """Opens the W&B run of one training.

    All runs below one ``output_root`` share the folder ``<output_root>/wandb``, so that ``wandb leet`` shows a whole
    sweep. The mode is passed explicitly and each run is created anew: neither leaks into the next row. Nothing of the
    machine is recorded: no host, user, package list or command line, and of a folder its last name alone.

    Raises:
        AvceError: the server was chosen by name and does not answer; otherwise the run goes offline.
    """
    mode: str | None = settings.logger.mode
    chosen = mode not in (None, "auto")
    if mode is None or mode == "auto":
        mode = os.environ.get("WANDB_MODE") or ("online" if has_key() else "offline")
        if mode not in _MODES:
            raise AvceError(f"WANDB_MODE={mode} does not work{nearest(mode, _MODES)}")
    try:
        return _open(settings, config, mode)
    except wandb.errors.CommError as error:
        if chosen:
            raise AvceError(f"W&B cannot be reached: {error}. Use logger.mode=offline and `wandb sync`.") from None
        log.warning("W&B cannot be reached, so this run is offline: %s", error)
        return _open(settings, config, "offline")


def _open(settings: Settings, config: Section, mode: str) -> WandbLogger:
    folder = settings.output_root.absolute()
    (folder / "wandb").mkdir(parents=True, exist_ok=True)
    _announce(mode, folder / "wandb")
    choices = [settings.backbone["name"], settings.crl_formula["name"], settings.mining["name"]]
    logger = ResumedLogger(
        settings.folder / "history.csv",
        save_dir=folder,
        project=settings.logger.project,
        entity=settings.logger.entity,
        mode=mode,
        reinit="create_new",
        group=settings.name,
        name=settings.label,
        tags=list(dict.fromkeys([settings.dataset["name"], settings.method["name"], *choices])),
        job_type="train",
        config=without_folders(config),
        settings=wandb.Settings(
            init_timeout=30,
            host="",
            disable_git=True,  # of the working directory, which need not be this package; see `finish` for the commit
            console="off",
            quiet=True,
            silent=True,
            x_disable_stats=True,
            x_disable_meta=True,
            x_disable_machine_info=True,
            x_save_requirements=False,  # metrics.json has the versions that matter
        ),
    )
    logger._wandb_init.pop("anonymous", None)  # Lightning passes it and W&B warns about it on every run
    logger.experiment.define_metric("val/*", step_metric="epoch")
    return logger


@functools.cache  # once, not in every row of a sweep
def _announce(mode: str, folder: Path) -> None:
    log.info("W&B is %s%s", mode, f"; `wandb leet {folder}` shows the runs" if mode == "offline" else "")


def without_folders(value: Any) -> Any:
    """A configuration in which every absolute path has become ``…/`` and its last part."""
    if isinstance(value, dict):
        return {key: without_folders(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_folders(inner) for inner in value]
    if isinstance(value, str) and value.startswith(("/", "~")):
        return f"…/{Path(value).name}"
    return value


def finish(logger: WandbLogger, record: dict[str, Any] | None, folder: Path) -> None:
    """Adds the results to the run's summary and ends it; without a record the run counts as failed."""
    run = logger.experiment
    if record is not None:
        run.summary.update({f"best/{name}": value for name, value in record["best"].items()} | record["test"])
        origin = {key: record["data"][key] for key in ("protocol", "fingerprint")} | {"commit": record["run"]["commit"]}
        run.config.update({"origin": origin})
        columns = ["row", "valence", "arousal", "predicted_valence", "predicted_arousal"]
        if classes := record["data"].get("classes"):
            columns = [
                "row",
                "expression",
                "predicted_expression",
                *(f"probability_{name.lower()}" for name in classes),
            ]
        table = wandb.Table(dataframe=pd.read_parquet(folder / "predictions.parquet", columns=columns))
        # a table that is not bound yet becomes an artifact, too, whose file lies in the home directory, under its
        # absolute path, and is missing where the run's folder is copied elsewhere to be synchronised
        cast(Any, table).bind_to_run(run, "test/predictions", "summary")
        run.log({"test/predictions": table, "test/figure": wandb.Image(str(folder / "figure.png"))})
    run.finish(exit_code=0 if record is not None else 1)
