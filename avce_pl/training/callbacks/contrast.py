"""Watches the contrast of a training: its two views die where z grows without bound."""

import logging
from typing import Any

import pytorch_lightning as pl

from avce_pl.method.contrast import is_alive

log = logging.getLogger(__name__)


class ContrastWatch(pl.Callback):
    """Logs ``train/contrast_<name>``, warns once when the contrast has died, and keeps the last epoch's means.

    The module measures (`avce_pl.method.avce.AVCE.contrast`); a module without contrastive loss is left alone. Part of
    the checkpoints, so that a resumed run has the same means.
    """

    def __init__(self) -> None:
        """Prepares the callback."""
        self.epoch = -1
        self.count = 0
        self.sums: dict[str, float] = {}
        self.warned = False

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Takes the measurement of this batch, where there is one."""
        measured: Any = getattr(pl_module, "contrast", None)
        if measured is None:
            return
        pl_module.log_training({f"contrast_{name}": value for name, value in measured.items()})  # type: ignore[operator]
        if trainer.current_epoch != self.epoch:
            self.epoch, self.count, self.sums = trainer.current_epoch, 0, {}
        state = {name: float(value) for name, value in measured.items()}
        self.count += 1
        self.sums = {name: self.sums.get(name, 0.0) + value for name, value in state.items()}
        if not self.warned and not is_alive(state["views"], state["scores"]):
            self.warned = True
            log.warning(
                "The contrast has died at batch %d: SparseMax and SoftMax give the same view of a face (|Sp - Sm| "
                "%.3f, |y_a - y_n| %.3f), so the contrastive loss no longer has an effect. Train with "
                "backbone.latent_norm=batch, start from backbone.weights=imagenet, or lower optimizer.learning_rate.",
                trainer.global_step,
                state["views"],
                state["scores"],
            )

    @property
    def record(self) -> dict[str, Any] | None:
        """The means over the last epoch's measurements and ``alive``; ``None`` where nothing was measured."""
        if not self.count:
            return None
        means = {name: value / self.count for name, value in self.sums.items()}
        return means | {"alive": is_alive(means["views"], means["scores"])}

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"epoch": self.epoch, "count": self.count, "sums": dict(self.sums), "warned": self.warned}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues where a checkpoint was written."""
        for name, value in state_dict.items():
            setattr(self, name, value)
