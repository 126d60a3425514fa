"""One progress line for the whole training, with the time left."""

import logging
import multiprocessing
import time
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

log = logging.getLogger(__name__)


class RunProgress(pl.Callback):
    """Shows batches done of all batches of all epochs, the last validation score and the time left.

    In a terminal as a bar; elsewhere (a log file, a cluster, a row of a sweep beside others) as one line per epoch.
    """

    def __init__(self, monitor: str, label: str) -> None:
        """Prepares the callback.

        Args:
            monitor: the validation score to show.
            label: a short name of the run.
        """
        self.monitor = monitor
        self.label = label
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._start = (0.0, 0)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Opens the bar; a resumed run begins where it was."""
        done = trainer.global_step
        self._start = (time.monotonic(), done)
        bar = Progress(
            TextColumn(f"[bold]{self.label}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("batches, epoch {task.fields[epoch]}, {task.fields[score]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            refresh_per_second=4,
        )
        alone = multiprocessing.current_process().name == "MainProcess"  # two bars would draw over each other
        if trainer.is_global_zero and bar.console.is_terminal and alone:
            self._bar = bar
            self._bar.start()
            self._task = self._bar.add_task(
                "training", total=int(trainer.estimated_stepping_batches), completed=done, epoch=1, score=""
            )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Moves the bar on."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=trainer.global_step, epoch=trainer.current_epoch + 1)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Shows the validation score, and writes the line of the epoch where there is no bar."""
        value = trainer.callback_metrics.get(self.monitor)
        score = "" if value is None else f"{self.monitor} {value:.3f}"
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, score=score)
        elif trainer.is_global_zero:
            started, first = self._start
            done = trainer.global_step
            left = (time.monotonic() - started) / max(1, done - first)
            left *= int(trainer.estimated_stepping_batches) - done
            log.info(
                "%s: epoch %d of %s, %s, %s left",
                self.label,
                trainer.current_epoch + 1,
                trainer.max_epochs,
                score,
                timedelta(seconds=round(left)),
            )

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Closes the bar."""
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Closes the bar, so that the error's text is not overdrawn."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
