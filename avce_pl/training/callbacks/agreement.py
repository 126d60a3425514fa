"""How well predictions agree with labels, over a whole split."""

from typing import Any, Literal, cast

import pytorch_lightning as pl
from torch import Tensor
from torchmetrics import Metric, MetricCollection


class Agreement(pl.Callback):
    """Updates a torchmetrics metric with the predictions of an evaluation, logs its values and resets it.

    Logs ``val/<name>`` and ``test/<name>``, such as ``val/ccc_valence`` or ``test/accuracy``, to every logger. The
    module's ``validation_step`` and ``test_step`` return their predictions, and its ``target`` says what they are
    compared with. The metric merges its state over all processes.
    """

    confusion: Tensor | None = None
    """(classes, classes) counts of true (rows) and predicted (columns) classes in the last evaluation."""

    def __init__(self, metrics: Metric | MetricCollection) -> None:
        """Prepares the callback.

        Args:
            metrics: computes a dict of scalars from (N, 2) predictions and labels, or from (N, classes) logits and (N,)
                classes.
        """
        self.metrics = metrics

    @property
    def maximised(self) -> list[str]:
        """The validation scores that are better the greater they are, among which a run's monitor is chosen."""
        return [f"val/{name}" for name in cast(Any, self.metrics).maximised]

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Moves the metric to the device of the predictions."""
        self.metrics.to(trainer.strategy.root_device)

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Adds one batch."""
        self.metrics.update(outputs, cast(Any, pl_module).target(batch))

    def on_test_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Adds one batch."""
        self.metrics.update(outputs, cast(Any, pl_module).target(batch))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Logs the validation split."""
        self._log(pl_module, "val")

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Logs the test split."""
        self._log(pl_module, "test")

    def _log(self, pl_module: pl.LightningModule, split: Literal["val", "test"]) -> None:
        values = cast(dict[str, Tensor], self.metrics.compute())
        self.metrics.reset()
        self.confusion = values.pop("confusion", None)
        # already the value of all processes together
        pl_module.log_dict({f"{split}/{name}": value for name, value in values.items()}, rank_zero_only=False)
