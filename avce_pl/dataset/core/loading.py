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
    """A source of images: row of the index -> (side, side, 3) uint8 RGB."""

    def __getitem__(self, row: int) -> NDArray[np.uint8]:
        """Fetches one image."""


class FaceDataset(Dataset[Batch]):
    """Whole batches: `BatchKey` -> `Batch`."""

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
    """A data loader that resumes an interrupted epoch at the batch where it stopped.

    Lightning saves and restores any loader's `state_dict`. The state counts the batches delivered; those that
    workers had fetched ahead are fetched again.
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
        self._delivered = 0
        self._resume: dict[str, int] | None = None

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        # A generator: nothing runs, and no worker fetches ahead, before the first batch is requested.
        # Lightning requests an iterator first and sets the sampler's epoch afterwards.
        self._delivered = 0
        if isinstance(self.sampler, TrainBatches):
            resume, self._resume = self._resume, None
            if resume and resume["epoch"] == self.sampler.epoch:
                self._delivered = resume["batches"]
            self.sampler.start = self._delivered
        for batch in super().__iter__():
            self._delivered += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The epoch, and the number of its batches that were delivered."""
        return {"epoch": getattr(self.sampler, "epoch", 0), "batches": self._delivered}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resumes there with the next iteration, if it is in the same epoch."""
        self._resume = dict(state)
        self._delivered = state["batches"]
        if isinstance(self.sampler, TrainBatches):
            self.sampler.set_epoch(state["epoch"])


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(0)
