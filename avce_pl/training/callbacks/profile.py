"""Where the time of a training goes."""

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from tabulate import tabulate
from torch import nn

PARTS = {
    "data": "waiting for a batch: decoding, augmentation, transfer, and Lightning's loop",
    "forward": "encoder, compressor and heads",
    "transforms": "SparseMax and SoftMax",
    "losses": "what else a training step computes",
    "backward": "gradients",
    "optimizers": "updates of the parameters",
    "logging": "learning rates, metrics and history",
    "validation": "the validation split",
}
TRACED = range(3, 6)


class Profile(pl.Callback):
    """Writes ``profile.txt``, seconds and shares of the parts of the training, and ``trace.json`` of three batches.

    The trace opens in ``chrome://tracing`` or Perfetto. The first batch of the training, in which everything is set
    up, is left out. On a GPU every part waits for what it started, which takes some time by itself.
    """

    def __init__(self, folder: Path) -> None:
        """Prepares the callback.

        Args:
            folder: where the two files are written.
        """
        self.folder = folder
        self.seconds: dict[str, float] = defaultdict(float)
        self.batches = 0
        self._open: list[str] = []
        self._since = 0.0
        self._trace: torch.profiler.profile | None = None

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Books the time inside on a part, and not on the part around it."""
        self._book()
        self._open.append(name)
        with torch.profiler.record_function(name):
            yield
            self._book()
        self._open.pop()

    def _book(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def _timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        return timed

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Puts clocks around the parts of the method."""
        networks = {"backbone", "regressor", "projection_head", "discriminative_head"}
        for name, network in pl_module.named_children():
            if name in networks and isinstance(network, nn.Module):
                network.forward = self._timed("forward", network.forward)
        clocks = {
            "feature_transform": "transforms",
            "training_step": "losses",
            "manual_backward": "backward",
            "update_parameters": "optimizers",
            "end_batch": "logging",
        }
        for name, part in clocks.items():
            if hasattr(pl_module, name):
                setattr(pl_module, name, self._timed(part, getattr(pl_module, name)))

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The first batch is waited for."""
        self._begin("data")

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """The waiting is over."""
        self._end()
        if self.batches == TRACED.start:
            # without it torch's tracer writes lines of its own, an ERROR where there is no GPU among them
            os.environ.setdefault("KINETO_LOG_LEVEL", "6")
            self._trace = torch.profiler.profile()
            self._trace.start()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """The next batch is waited for."""
        self.batches += 1
        if self.batches == 1:
            self.seconds.clear()
        if self._trace is not None and self.batches == TRACED.stop:
            self._trace.stop()
            self._trace.export_chrome_trace(str(self.folder / "trace.json"))
            self._trace = None
        self._begin("data")

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The last waiting of an epoch was for nothing."""
        self._end()
        self._begin("validation")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Back to the training."""
        self._end()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the table."""
        self._end()
        if trainer.is_global_zero:
            (self.folder / "profile.txt").write_text(self.table())

    def table(self) -> str:
        """Part, seconds, milliseconds a batch, share, and what the part is."""
        total, batches = sum(self.seconds.values()), max(self.batches - 1, 1)
        rows = []
        for name, what in (*PARTS.items(), ("total", f"{batches} batches")):
            seconds = total if name == "total" else self.seconds[name]
            milliseconds, share = 1e3 * seconds / batches, seconds / max(total, 1e-9)
            rows.append((name, f"{seconds:.2f}", f"{milliseconds:.1f}", f"{share:.0%}", what))
        text: str = tabulate(rows, ["part", "seconds", "ms a batch", "share", ""], disable_numparse=True)
        return text + "\n"

    def _begin(self, name: str) -> None:
        self._end()
        self._since = time.perf_counter()
        self._open = [name]

    def _end(self) -> None:
        if self._open:
            self._book()
            self._open.clear()
