"""Batches that are the same for any number of workers or processes, and after an interruption."""

from collections.abc import Iterator
from typing import Any, Protocol, TypedDict

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from avce_pl.dataset.augmentation import Augmentation
from avce_pl.errors import AvceError

BatchKey = tuple[int, NDArray[np.int64]]
"""What asks for a batch: the epoch, on which the augmentation depends, and the rows of the index."""


class Batch(TypedDict):
    """One batch of faces.

    Attributes:
        image: (N, 3, H, W) uint8 RGB; on the device float32, see `FaceDataModule.on_after_batch_transfer`.
        label: (N, 2) float32: valence, arousal.
        row: (N,) int64: rows of the index.
        expression: (N,) int64: AffectNet code, -1 unknown.
    """

    image: Tensor
    label: Tensor
    row: Tensor
    expression: Tensor


class Images(Protocol):
    """Where images come from: row of the index -> (side, side, 3) uint8 RGB."""

    def __getitem__(self, row: int) -> NDArray[np.uint8]:
        """Fetches one image."""


class FaceDataset(Dataset[Batch]):
    """Whole batches, asked for by (epoch, rows)."""

    def __init__(
        self,
        images: Images,
        labels: NDArray[np.float32],
        expressions: NDArray[np.int8],
        augmentation: Augmentation,
    ) -> None:
        self.images = images
        self.labels = labels
        self.expressions = expressions
        self.augmentation = augmentation

    def __getitem__(self, key: BatchKey) -> Batch:
        epoch, rows = key
        size = self.augmentation.size
        image = np.empty((len(rows), 3, size, size), np.uint8)
        for position, row in enumerate(rows.tolist()):
            image[position] = self.augmentation(self.images[row], epoch, row).transpose(2, 0, 1)
        return {
            "image": torch.from_numpy(image),
            "label": torch.from_numpy(self.labels[rows]),
            "row": torch.from_numpy(rows),
            "expression": torch.from_numpy(self.expressions[rows].astype(np.int64)),
        }


class TrainBatches:
    """Shuffles the rows anew in every epoch and cuts them into global batches; yields this process's share.

    `batch_size` is that of the global batch, so the same batches are formed for any number of processes;
    process r of W takes the r-th of W equal parts. Rows that do not fill a batch sit out the epoch (others in
    each): the losses are statistics of a batch, and a small last one would be an outlier; processes also need
    equal parts to gather. Data sets smaller than one batch make one batch.

    Raises:
        AvceError: the batch cannot be shared equally, or a process would get a single row (BatchNorm needs two).
    """

    def __init__(self, rows: NDArray[np.int64], batch_size: int, seed: int) -> None:
        self.rank, self.processes = _process()
        batch_size = min(batch_size, len(rows) // self.processes * self.processes)
        if batch_size % self.processes or batch_size < 2 * self.processes:
            raise AvceError(
                f"{len(rows)} training images in batches of {batch_size} cannot be shared by {self.processes} "
                "process(es): each needs the same number of images in every batch, and at least two. Change "
                "dataset.batch_size or trainer.devices."
            )
        self.rows = rows
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        self.start = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls it before every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.rows) // self.batch_size

    def __iter__(self) -> Iterator[BatchKey]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.rows)
        share = self.batch_size // self.processes
        for batch in range(self.start, len(self)):
            begin = batch * self.batch_size + self.rank * share
            yield self.epoch, order[begin : begin + share]


class EvaluationBatches:
    """All rows in order, each once, nothing padded; every process gets the same number of batches.

    The rows are cut into (batches x processes) parts whose sizes differ by at most one; equal numbers of
    batches matter because processes meet in every forward pass.

    Raises:
        AvceError: there are fewer rows than parts.
    """

    def __init__(self, rows: NDArray[np.int64], batch_size: int) -> None:
        self.rank, self.processes = _process()
        self.batches = -(-len(rows) // batch_size)
        parts = self.batches * self.processes
        if len(rows) < parts:
            raise AvceError(
                f"{len(rows)} images in batches of {batch_size} cannot be shared by {self.processes} "
                "processes. Evaluate on fewer devices or with a larger dataset.batch_size."
            )
        self.parts = np.array_split(rows, parts) if parts else []

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[BatchKey]:
        for rows in self.parts[self.rank :: self.processes]:
            yield 0, rows


class FaceLoader(DataLoader[Batch]):
    """A data loader that continues an interrupted epoch at the very batch where it stopped.

    Lightning saves and restores any loader's `state_dict`. The state counts the batches handed out; those
    that workers had fetched ahead are fetched again.
    """

    def __init__(
        self,
        dataset: FaceDataset,
        batches: TrainBatches | EvaluationBatches,
        num_workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        super().__init__(
            dataset,
            batch_size=None,  # the sampler's items are whole batches already
            sampler=batches,
            num_workers=num_workers,
            pin_memory=pin_memory,
            worker_init_fn=_one_thread,
            persistent_workers=num_workers > 0,
        )
        self._handed_out = 0
        self._resume: dict[str, int] | None = None

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        # A generator: nothing runs, and no worker fetches ahead, before the first batch is asked for.
        # Lightning asks for an iterator first and tells the sampler the epoch afterwards.
        self._handed_out = 0
        if isinstance(self.sampler, TrainBatches):
            resume, self._resume = self._resume, None
            if resume and resume["epoch"] == self.sampler.epoch:
                self._handed_out = resume["batches"]
            self.sampler.start = self._handed_out
        for batch in super().__iter__():
            self._handed_out += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The epoch, and how many of its batches were handed out."""
        return {"epoch": getattr(self.sampler, "epoch", 0), "batches": self._handed_out}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues there with the next iteration, if that is still in the same epoch."""
        self._resume = dict(state)
        self._handed_out = state["batches"]
        if isinstance(self.sampler, TrainBatches):
            self.sampler.set_epoch(state["epoch"])


def _process() -> tuple[int, int]:
    """Rank of this process and number of processes."""
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(0)
