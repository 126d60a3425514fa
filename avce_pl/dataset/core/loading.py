"""Batches of images, loaded by workers; an interrupted epoch resumes at the batch where it stopped."""

from collections.abc import Iterator
from typing import Any, Protocol, TypedDict

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from avce_pl.dataset.core.augmentation import Augmentation
from avce_pl.dataset.core.batches import BatchKey, EvaluationBatches, TrainBatches


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
    """Whole batches, asked for by a `BatchKey`."""

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
        epoch, rows, repeats = key
        size = self.augmentation.size
        image = np.empty((len(rows), 3, size, size), np.uint8)
        for position, (row, repeat) in enumerate(zip(rows.tolist(), repeats.tolist(), strict=True)):
            augmented = self.augmentation(self.images[row], epoch, row + (repeat << 32))
            cv2.split(augmented, [*image[position]])  # a third of the time of copying a transposed array
        return {
            "image": torch.from_numpy(image),
            "label": torch.from_numpy(self.labels[rows]),
            "row": torch.from_numpy(rows),
            "expression": torch.from_numpy(self.expressions[rows].astype(np.int64)),
        }


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


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(0)
