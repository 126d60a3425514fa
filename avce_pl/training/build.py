"""Builds the parts of a run from its settings; imports neither Hydra nor W&B."""

from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.loggers import Logger
from torchmetrics import Metric, MetricCollection

from avce_pl.backbone.base import Backbone
from avce_pl.backbone.weights import read_state_dict
from avce_pl.config.instantiate import build, without_weights
from avce_pl.config.settings import Settings, read_settings
from avce_pl.dataset.core.datamodule import FaceDataModule
from avce_pl.errors import AvceError
from avce_pl.method.base import Method
from avce_pl.metrics.expression import ExpressionMetrics
from avce_pl.runs.folder import open_run
from avce_pl.training.checkpoint_io import WholeCheckpoints


def build_datamodule(settings: Settings) -> FaceDataModule:
    """The data set of a run, at the backbone's own batch size where none is set."""
    section = dict(settings.dataset)
    if section.get("batch_size") is None:
        backbone = build(without_weights(settings.backbone), "backbone", image_size=section["image_size"])
        section["batch_size"] = backbone.batch_size
    return cast(FaceDataModule, build(section, "dataset", seed=settings.seed))


def build_module(settings: Settings, classes: int = 0, *, weights: bool = True) -> Method:
    """The method with its networks, formula, mining, similarity and transform: five networks in one module.

    Args:
        settings: the run.
        classes: number of expressions to tell apart; 0 for valence and arousal.
        weights: whether to load the backbone's pretrained weights; not needed where a checkpoint follows.

    Raises:
        AvceError: the images are too small for the backbone.
    """
    pl.seed_everything(settings.seed, verbose=False)
    section = settings.backbone if weights else without_weights(settings.backbone)
    side = settings.dataset["image_size"]
    backbone = cast(Backbone, build(section, "backbone", image_size=side))
    if side < backbone.smallest_image:
        raise AvceError(
            f"dataset.image_size={side} is too small for backbone={settings.backbone['name']}, which needs "
            f"{backbone.smallest_image} pixels."
        )
    components = {
        group: build(getattr(settings, group), group)
        for group in ("crl_formula", "mining", "similarity", "feature_transform", "optimizer")
    }
    given = components | {"backbone": backbone, "seed": settings.seed, "classes": classes}
    return cast(Method, build(settings.method, "method", **given))


def build_metrics(settings: Settings, classes: int = 0) -> Metric | MetricCollection:
    """The metrics of validation and test; expressions (`classes` > 0) have their own."""
    return ExpressionMetrics(classes) if classes else build(settings.metrics, "metrics")


def build_trainer(settings: Settings, folder: Path, callbacks: list[pl.Callback], loggers: list[Logger]) -> pl.Trainer:
    """Lightning's Trainer with the run's callbacks and loggers."""
    if settings.trainer.num_threads is not None:
        torch.set_num_threads(settings.trainer.num_threads)
    plugins: list[Any] = [WholeCheckpoints()]
    if settings.trainer.devices * settings.trainer.num_nodes == 1:
        plugins.append(LightningEnvironment())  # a cluster's variables say nothing about a run of one process
    return pl.Trainer(
        **settings.trainer.model_dump(exclude={"name", "num_threads", "profile"}),
        default_root_dir=folder,
        callbacks=callbacks,
        logger=loggers,
        plugins=plugins,
        enable_progress_bar=False,  # RunProgress shows the whole run
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # the data module shares batches itself, without padding
    )


def load_run(folder: Path | str) -> Method:
    """The best model of a finished run, on the CPU, in evaluation mode.

    Raises:
        AvceError: the folder holds no finished run.
    """
    run = open_run(folder)
    module = build_module(read_settings(run.config), run.classes, weights=False)
    module.load_state_dict(read_state_dict(run.checkpoint))
    return module.eval()
