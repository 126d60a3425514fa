"""The smallest network and training there is, for the tests of the methods."""

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers.logger import DummyLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader

from avce_pl.backbone.base import Backbone
from avce_pl.method.base import Method

BATCHES, N = 4, 6


class TinyBackbone(Backbone):
    def __init__(self) -> None:
        super().__init__()
        self.latent_dim = 5
        self.encoder = nn.Conv2d(3, 4, 3)
        self.compressor = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5), nn.ReLU())


def batches() -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        {
            "image": torch.randn(N, 3, 8, 8, generator=generator, dtype=torch.float64),
            "label": torch.rand(N, 2, generator=generator, dtype=torch.float64) - 0.5,
            "expression": torch.randint(3, (N,), generator=generator),
        }
        for _ in range(BATCHES)
    ]


class Rows(DummyLogger):
    """Keeps what is logged: step -> values."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[int, dict[str, float]] = {}

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        self.rows.setdefault(step, {}).update(metrics)


def fit(
    module: Method,
    data: list[dict[str, Tensor]],
    *,
    every: int = 1,
    epochs: int = 1,
    callbacks: list[pl.Callback] | None = None,
    accelerator: str = "cpu",
) -> pl.Trainer:
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator=accelerator,
        logger=Rows(),
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=every,
        precision="64-true",
    )
    trainer.fit(module, DataLoader(data, batch_size=None))
    return trainer
