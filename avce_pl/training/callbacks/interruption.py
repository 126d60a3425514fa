"""Checkpoints from which an interrupted run resumes bit for bit."""

import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch

from avce_pl.errors import AvceError, Interrupted

_SAVE = 1  # a wish to save and go on; the number of a signal, which is above it, is one to save and stop


class Interruption(pl.Callback):
    """Writes ``last.ckpt`` every few minutes, after every epoch, and when the run is asked to stop.

    Ctrl-C (SIGINT) and a cluster's preemption (SIGTERM) are obeyed between two batches, so that the checkpoint never
    holds a half-made update; a second Ctrl-C stops at once.
    """

    def __init__(self, path: Path, minutes: float) -> None:
        """Prepares the callback.

        Args:
            path: where the checkpoint is written.
            minutes: time between two checkpoints inside an epoch.
        """
        self.path = path
        self.seconds = 60 * minutes
        self._requested: signal.Signals | None = None
        self._previous: dict[signal.Signals, Any] = {}
        self._saved_at = 0.0

    def _request(self, number: int, _frame: FrameType | None) -> None:
        if self._requested is not None:
            raise KeyboardInterrupt
        self._requested = signal.Signals(number)

    def install(self) -> None:
        """Takes over SIGINT and SIGTERM; called before the trainer starts.

        Python lets only the main thread handle signals. In another one, as of a notebook server, the training cannot be
        interrupted by them, and saves every few minutes all the same.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            previous = signal.signal(number, self._request)
            self._previous.setdefault(number, previous)

    def uninstall(self) -> None:
        """Gives the signals back to whoever had them."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock."""
        self._saved_at = time.monotonic()
        self.install()  # Lightning has put its own handler of SIGTERM before ours: it hangs several processes

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes the signals back from the trainer, which starts anew to test."""
        self.install()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves when it is time or when a signal has come; the latter ends the run."""
        # Going on from an epoch's last batch, Lightning leaves the epoch's validation out.
        if not trainer.is_last_batch and (wish := self._wish(trainer)):
            self._save(trainer)
            self._obey(trainer, wish)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Saves the finished epoch."""
        self._save(trainer)
        self._obey(trainer, self._wish(trainer))

    def on_test_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Ends the run when a signal has come; all of the training is saved already."""
        if (wish := self._wish(trainer)) > _SAVE:
            raise Interrupted(
                "Interrupted during the test. Nothing is lost: run the same command again to repeat the test.",
                exit_code=128 + wish,
            )

    def _wish(self, trainer: pl.Trainer) -> int:
        """What is to be done now, in all processes: 0 nothing, `_SAVE`, or the number of a signal to obey."""
        wish = int(self._requested or (time.monotonic() - self._saved_at > self.seconds))
        if trainer.world_size > 1:  # one that stopped alone would leave the others waiting for it
            wishes = torch.tensor(wish, device=trainer.strategy.root_device)
            torch.distributed.all_reduce(wishes, torch.distributed.ReduceOp.MAX)
            wish = int(wishes)
        return wish

    def _obey(self, trainer: pl.Trainer, wish: int) -> None:
        if wish > _SAVE:
            raise Interrupted(
                f"Interrupted after batch {trainer.global_step} (epoch {trainer.current_epoch + 1} of "
                f"{trainer.max_epochs}). Nothing is lost: run the same command again to resume.",
                exit_code=128 + wish,
            )

    def _save(self, trainer: pl.Trainer) -> None:
        try:
            for logger in trainer.loggers:
                logger.save()  # a run resumed from this checkpoint begins with the rows before it
            trainer.save_checkpoint(self.path)
        except OSError as error:
            raise AvceError(
                f"The checkpoint {self.path} could not be written: {error.strerror or error}. Free some space or "
                "give another output_root, then run the same command again; the last checkpoint is intact."
            ) from error
        self._saved_at = time.monotonic()
