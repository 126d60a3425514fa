"""Trains small networks with every method, formula and mining; started by `test_processes.py` with 1 or 2 processes.

python -m tests.support.two_processes PROCESSES FOLDER
"""

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn

from avce_pl.backbone.base import Backbone
from avce_pl.crl_formula import avce as avce_formula
from avce_pl.crl_formula.barlow_twins import BarlowTwins
from avce_pl.crl_formula.infonce import InfoNCE
from avce_pl.crl_formula.none import NoCRL
from avce_pl.dataset.core.augmentation import Augmentation, normalise
from avce_pl.dataset.core.batches import EvaluationBatches, TrainBatches
from avce_pl.dataset.core.loading import FaceDataset, FaceLoader
from avce_pl.feature_transform.closed_form import ClosedForm
from avce_pl.feature_transform.cvxpylayers import CvxpyLayers
from avce_pl.method.avce import AVCE
from avce_pl.method.base import Method
from avce_pl.method.baseline import Baseline
from avce_pl.method.caf import CAF
from avce_pl.method.dacl import DACL
from avce_pl.method.dlp import DLP
from avce_pl.method.ran import RAN
from avce_pl.metrics.expression import ExpressionMetrics
from avce_pl.metrics.valence_arousal import ValenceArousalMetrics
from avce_pl.mining.debiased import DebiasedMining
from avce_pl.mining.hard import HardMining
from avce_pl.mining.none import NoMining
from avce_pl.optimizer.step_decay import StepDecay
from avce_pl.similarity.paper import PaperSimilarity
from avce_pl.training.callbacks.agreement import Agreement
from tests.support.tiny import Rows

ROWS, BATCH = 45, 8
"""5 batches an epoch; 45 rows to evaluate are parts of 4 and of 3."""
FORMULAS = {"avce": avce_formula.AVCE, "infonce": InfoNCE, "barlow_twins": BarlowTwins}
MININGS = {"none": NoMining, "debiased": DebiasedMining, "hard": HardMining}


class SmallBackbone(Backbone):
    """BatchNorm in the encoder and dropout in the compressor, as ResNets have them."""

    def __init__(self) -> None:
        super().__init__()
        self.latent_dim = 5
        self.encoder = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.compressor = nn.Sequential(
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.3), nn.Linear(16, 5), nn.ReLU()
        )


def avce(**options: Any) -> AVCE:
    parts: dict[str, Any] = {
        "crl_formula": avce_formula.AVCE(),
        "mining": NoMining(),
        "similarity": PaperSimilarity(),
        "feature_transform": ClosedForm(),
        "crl_weight": 0.5,
    }
    return AVCE(SmallBackbone(), **parts | rest() | options)


def rest() -> dict[str, Any]:
    optimizer = StepDecay(learning_rate=1e-3, head_learning_rate=1e-3, milestones=(8,), decay=0.5)
    return {"optimizer": optimizer, "seed": 7}


def cases() -> dict[str, tuple[Method, int]]:
    """Name -> method and epochs."""
    made: dict[str, tuple[Method, int]] = {
        "avce for 50 steps": (avce(), 10),
        "avce, shared": (avce(update="shared"), 2),
        "avce, no formula": (avce(crl_formula=NoCRL()), 2),
        "avce, 7 expressions": (avce(classes=7), 2),
        "baseline for 50 steps": (Baseline(SmallBackbone(), **rest()), 10),
        "no BatchNorm in the heads": (avce(batch_norm=False), 10),
        "avce, float32": (avce(), 2),
        "baseline, float32": (Baseline(SmallBackbone(), **rest()), 10),
        "caf, float32": (CAF(SmallBackbone(), **rest()), 10),
        "dlp": (DLP(SmallBackbone(), **rest(), classes=7, locality_weight=0.5), 2),
        "dacl": (DACL(SmallBackbone(), **rest(), classes=7, centre_weight=0.5), 2),
        "ran": (RAN(SmallBackbone(), **rest(), margin=0.5), 2),
        "shaken": (Baseline(SmallBackbone(), **rest(), supervised="shaken"), 2),
        "caf": (CAF(SmallBackbone(), **rest()), 4),
        "caf from scratch": (CAF(SmallBackbone(), **rest(), batch_norm=True), 4),
    }
    for formula, formula_class in FORMULAS.items():
        for mining, mining_class in MININGS.items():
            made[f"{formula}, {mining}"] = (avce(crl_formula=formula_class(), mining=mining_class()), 1)
    problems = (f"avce_pl.feature_transform.problems:{name}" for name in ("sparsemax", "softmax"))
    made["cvxpylayers"] = (avce(feature_transform=CvxpyLayers(*problems)), 1)
    return made


class Data(pl.LightningDataModule):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        random = np.random.default_rng(0)
        self.images = random.integers(0, 256, (ROWS, 12, 12, 3), np.uint8)
        self.labels = random.uniform(-1, 1, (ROWS, 2)).astype(np.float32)

    def dataset(self, train: bool) -> FaceDataset:
        codes = np.arange(ROWS, dtype=np.int8) % 7
        return FaceDataset(self.images, self.labels, codes, Augmentation(8, train, seed=3))

    def train_dataloader(self) -> FaceLoader:
        return FaceLoader(self.dataset(True), TrainBatches(np.arange(ROWS), BATCH, seed=3))

    def val_dataloader(self) -> FaceLoader:
        return FaceLoader(self.dataset(False), EvaluationBatches(np.arange(ROWS), BATCH))

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return {**batch, "image": normalise(batch["image"]).to(self.dtype), "label": batch["label"].to(self.dtype)}


def train(method: Method, epochs: int, processes: int, dtype: torch.dtype) -> dict[str, Any]:
    logger = Rows()
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=processes,
        strategy="auto" if processes == 1 else "ddp_find_unused_parameters_true",
        # float64 as a rule: rounding errors, which Adam makes large, do not hide a difference
        precision="64-true" if dtype is torch.float64 else "32-true",
        max_epochs=epochs,
        check_val_every_n_epoch=epochs,
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=logger,
        callbacks=[Agreement(ExpressionMetrics(method.classes) if method.classes else ValenceArousalMetrics())],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(method, datamodule=Data(dtype))
    metrics = {name: value for name, value in trainer.callback_metrics.items() if name.startswith("val")}
    losses = [
        {key: value for key, value in row.items() if key.startswith("train/loss")} for row in logger.rows.values()
    ]
    return {"losses": losses, "metrics": metrics, "weights": method.state_dict()}


def main() -> None:
    processes, folder = int(sys.argv[1]), Path(sys.argv[2])
    warnings.simplefilter("ignore")
    results = {}
    for name in cases():
        torch.manual_seed(1)
        method, epochs = cases()[name]
        results[name] = train(method, epochs, processes, torch.float32 if "float32" in name else torch.float64)
    if not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0:
        torch.save(results, folder / f"{processes}.pt")


if __name__ == "__main__":
    main()
