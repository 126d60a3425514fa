"""The one LightningDataModule; a data set adds only where its index and its images come from."""

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Annotated, Any, Literal, TypedDict

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pydantic import Field

from avce_pl.dataset.core.augmentation import Augmentation, normalise
from avce_pl.dataset.core.batches import EvaluationBatches, TrainBatches, plane_groups
from avce_pl.dataset.core.index import EXPRESSION_NAMES, SPLITS, FaceIndex
from avce_pl.dataset.core.loading import Batch, FaceDataset, FaceLoader, Images
from avce_pl.dataset.core.task import Task, check_labels
from avce_pl.errors import AvceError
from avce_pl.image.size import resize_side
from avce_pl.utils.files import expand_home

Sampler = Literal["plain", "balanced_plane", "balanced_expressions"]
Positive = Annotated[int, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Jitter = Annotated[float, Field(ge=0, le=1)]


class FaceOptions(TypedDict, total=False):
    """The options that all data sets share; see `FaceDataModule`."""

    image_size: Positive
    resize_size: Positive | None
    batch_size: Positive | None
    num_workers: Natural
    colour_jitter: Jitter
    sampler: Sampler
    seed: Seed
    cache_dir: str


class FaceDataModule(pl.LightningDataModule, ABC):
    """Batches of faces with valence and arousal, or with expressions.

    Images stay uint8 until they are on the device. A subclass adds `open_index` and `open_images`; each is called once,
    when it is first needed.

    Args:
        image_size: Side of the square that the network sees, in pixels.
        resize_size: Side that images are resized to before the crop; ``None`` is 8/7 of `image_size` (256 for 224).
        batch_size: Images per optimiser step, over all processes together; ``None`` until one is set.
        num_workers: Loading processes; 0 loads in the main process.
        colour_jitter: Strength of the training images' colour jitter, 0 (off) to 1; see `Augmentation`.
        sampler: How an epoch's training images are drawn: "plain" takes each once; "balanced_plane" makes up for
            crowded regions of the valence/arousal plane (8 x 8 bins), "balanced_expressions" for frequent
            expressions (images of unknown expression count as one more); see `expected_draws`.
        seed: Order of the training images and their augmentation.
        cache_dir: Folder for what is made once: indices, rendered and decoded images.

    Attributes:
        task: What is learnt: "valence_arousal", or the classes of "expression". A data set sets it.
        classes: Number of classes of the task "expression": AffectNet's codes from 0 on.
    """

    task: Task = "valence_arousal"
    classes: int = 7

    def __init__(
        self,
        image_size: Positive = 224,
        resize_size: Positive | None = None,
        batch_size: Positive | None = None,
        num_workers: Natural = 0,
        colour_jitter: Jitter = 0.0,
        sampler: Sampler = "plain",
        seed: Seed = 0,
        cache_dir: str = "~/.cache/avce_pl",
    ) -> None:
        super().__init__()
        self.image_size = image_size
        self.resize_size = resize_side(image_size, resize_size)
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.colour_jitter = colour_jitter
        self.sampler = sampler
        self.seed = seed
        self.cache_dir = expand_home(cache_dir, "give another folder with dataset.cache_dir=...")
        if self.resize_size < image_size:
            raise AvceError(
                f"dataset.resize_size={self.resize_size} is smaller than the crop, dataset.image_size="
                f"{image_size}. Raise it, or set it to null for 8/7 of the crop."
            )

    @abstractmethod
    def open_index(self) -> FaceIndex:
        """Builds or opens the index. Deterministic, and cheap when it was built before."""

    @abstractmethod
    def open_images(self, index: FaceIndex) -> Images:
        """Opens the images of the index's rows, `resize_size` pixels square."""

    @cached_property
    def faces(self) -> FaceIndex:
        """The index with all that belongs to it."""
        faces = self.open_index()
        check_labels(faces.table, self.task, self.classes)
        return faces

    @cached_property
    def images(self) -> Images:
        """The images by row of the index: (`resize_size`, `resize_size`, 3) uint8 RGB."""
        return self.open_images(self.faces)

    @property
    def index(self) -> pd.DataFrame:
        """One row per face; the columns are those of `FaceIndex`."""
        return self.faces.table

    @property
    def fingerprint(self) -> str:
        """Changes with any label, split or image, and with nothing else."""
        return self.faces.fingerprint

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes to tell apart; none where the task is valence and arousal."""
        return EXPRESSION_NAMES[: self.classes] if self.task == "expression" else ()

    @property
    def test_split(self) -> str:
        """The split that is tested on: "test", or "val" where the data set has no test images."""
        return "test" if len(self.faces.rows("test")) else "val"

    @property
    def bad_images(self) -> dict[str, int]:
        """Images that could not be used and were skipped: reason -> number."""
        return {}

    @property
    def crop_margin(self) -> float | None:
        """Share by which the images exceed the faces' boxes, for prediction to crop alike; ``None`` if not known."""
        return None

    def describe(self) -> dict[str, Any]:
        """What the record of a run says about its data."""
        return {
            "protocol": self.faces.protocol,
            "fingerprint": self.fingerprint,
            "split_hash": self.faces.split_hash,
            "rows": {split: len(self.faces.rows(split)) for split in SPLITS},
            "test_split": self.test_split,
            "dropped": dict(self.faces.dropped),
            "bad_images": self.bad_images,
            "margin": self.crop_margin,
            **({"classes": self.class_names} if self.class_names else {}),
        }

    def prepare_data(self) -> None:
        """Builds what is not in the cache yet; on one process, the others wait."""
        _ = self.images

    def train_dataloader(self) -> FaceLoader:
        """Shuffled, augmented batches."""
        rows = self._rows("train")
        augmentation = Augmentation(self.image_size, True, self.colour_jitter, self.seed)
        groups = balancing_groups(self.faces, rows, self.sampler)
        return self._loader(TrainBatches(rows, self._batch_size(), self.seed, groups), augmentation)

    def val_dataloader(self) -> FaceLoader:
        """Centre crops, in order."""
        return self._evaluation_loader("val")

    def test_dataloader(self) -> FaceLoader:
        """Centre crops of `test_split`, in order."""
        return self._evaluation_loader(self.test_split)

    def statistics_dataloader(self, batches: int) -> FaceLoader:
        """The same random training images every time, at most so many whole batches of them, as centre crops."""
        rows = self._rows("train")
        size = min(self._batch_size(), len(rows))
        chosen = np.random.default_rng(self.seed).permutation(rows)[: min(batches, len(rows) // size) * size]
        return self._loader(EvaluationBatches(chosen, size), Augmentation(self.image_size, train=False))

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Normalises the images, on the device: uint8 -> (N, 3, H, W) float32."""
        return {**batch, "image": normalise(batch["image"])}

    def _evaluation_loader(self, split: str) -> FaceLoader:
        batches = EvaluationBatches(self._rows(split), self._batch_size())
        return self._loader(batches, Augmentation(self.image_size, train=False))

    def _loader(self, batches: TrainBatches | EvaluationBatches, augmentation: Augmentation) -> FaceLoader:
        expressions = self.index["expression"].to_numpy(np.int8)
        dataset = FaceDataset(self.images, self.faces.labels, expressions, augmentation)
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        return FaceLoader(dataset, batches, self.num_workers, pin_memory=device.type == "cuda")

    def _rows(self, split: str) -> NDArray[np.int64]:
        rows = self.faces.rows(split)
        if not len(rows):
            raise AvceError(f"The data set has no images in the {split} split.")
        return rows

    def _batch_size(self) -> int:
        if self.batch_size is None:
            raise AvceError("No batch size was given; set dataset.batch_size=NUMBER.")
        return self.batch_size


def balancing_groups(faces: FaceIndex, rows: NDArray[np.int64], sampler: Sampler) -> NDArray[np.int64] | None:
    """The groups of these rows between which a sampler balances, ``None`` for "plain".

    Raises:
        AvceError: the rows lack what is to be balanced.
    """
    if sampler == "plain":
        return None
    if sampler == "balanced_plane":
        if np.isnan(labels := faces.labels[rows]).any():
            raise AvceError(
                "dataset.sampler=balanced_plane needs valence and arousal, which this data set does not give for all "
                "training images. Use balanced_expressions or plain."
            )
        return plane_groups(labels)
    expressions = faces.table["expression"].to_numpy()[rows].astype(np.int64)
    if (expressions < 0).all():
        raise AvceError(
            "dataset.sampler=balanced_expressions needs expressions, which this data set does not give. Use "
            "balanced_plane or plain."
        )
    return expressions
