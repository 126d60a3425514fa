"""Which rows make a batch: the same for any number of workers or processes, and after an interruption."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from avce_pl.errors import AvceError

PLANE_BINS = 8
"""Bins along valence and along arousal that `plane_groups` sorts faces into; 0.25 wide."""

MOST_REPEATS = 10
"""How often a balanced epoch takes one image at most."""


class BatchKey(NamedTuple):
    """The key of a batch.

    Attributes:
        epoch: The augmentation depends on it.
        rows: (N,) rows of the index.
        repeats: (N,) how often the epoch took the row already; repeats are augmented differently.
    """

    epoch: int
    rows: NDArray[np.int64]
    repeats: NDArray[np.int64]


def plane_groups(labels: NDArray[np.float32]) -> NDArray[np.int64]:
    """(N, 2) valence and arousal -> (N,) number of the bin of the plane that a face lies in."""
    bins = np.clip(np.floor((labels + 1) * (PLANE_BINS / 2)), 0, PLANE_BINS - 1).astype(np.int64)
    groups: NDArray[np.int64] = bins[:, 0] * PLANE_BINS + bins[:, 1]
    return groups


def expected_draws(groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """How often a balanced epoch takes each row, on average; the sum is the number of rows.

    Every group is drawn equally often, t times, but none more than `MOST_REPEATS` times its n_g rows, so that a few
    odd images do not make up an epoch:

        draws of a row of group g = min(t, MOST_REPEATS * n_g) / n_g,

    with t such that an epoch is as long as one that takes every row once.

    Args:
        groups: (N,) which group each row is in.
    """
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    most = np.sort(MOST_REPEATS * sizes)
    # If the k smallest groups are at their limit, the others share what is left.
    shares = (len(groups) - np.concatenate([[0], np.cumsum(most[:-1])])) / np.arange(len(most), 0, -1)
    level = shares[np.argmax(shares <= most)] if len(most) else 0.0
    draws: NDArray[np.float64] = np.minimum(level, MOST_REPEATS * sizes)[group] / sizes[group]
    return draws


class TrainBatches:
    """Shuffles the rows in every epoch and divides them into global batches; yields this process's share.

    Without `groups` an epoch is a permutation of the rows. With them it is as long, but takes each row
    `expected_draws` times on average (one time more or less: the fraction is drawn in every epoch).

    `batch_size` is that of the global batch, so the same batches are formed for any number of processes;
    process r of W takes the r-th of W equal parts. The last incomplete batch is dropped (other rows
    in every epoch): the losses are statistics of a batch, and a small one would be an outlier; processes also
    need equal parts to gather. Data sets smaller than one batch make one batch.

    Args:
        rows: The training rows of the index.
        batch_size: Rows of a global batch.
        seed: The run's seed; the order depends on it and the epoch alone.
        groups: Which group each of the rows is in, to balance them.

    Raises:
        AvceError: the batch cannot be shared equally, or a process would get a single row (BatchNorm needs two).
    """

    def __init__(
        self, rows: NDArray[np.int64], batch_size: int, seed: int, groups: NDArray[np.int64] | None = None
    ) -> None:
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
        self.groups = groups
        self.epoch = 0
        self.start = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls it before every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.rows) // self.batch_size

    def __iter__(self) -> Iterator[BatchKey]:
        random = np.random.default_rng([self.seed, self.epoch])
        rows, repeats = self.rows, np.zeros(len(self.rows), np.int64)
        if self.groups is not None:
            rows, repeats = self._drawn(self.groups, random)
        order = random.permutation(len(rows))
        share = self.batch_size // self.processes
        for batch in range(self.start, len(self)):
            begin = batch * self.batch_size + self.rank * share
            chosen = order[begin : begin + share]
            yield BatchKey(self.epoch, rows[chosen], repeats[chosen])

    def _drawn(
        self, groups: NDArray[np.int64], random: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of an epoch and how often each was taken already: systematic sampling, group by group."""
        order = random.permutation(len(groups))
        order = order[np.argsort(groups[order], kind="stable")]
        marks = np.cumsum(expected_draws(groups)[order])
        marks[-1] = len(groups)  # without the rounding errors
        times = np.diff(np.floor(marks + random.random()), prepend=0.0).astype(np.int64)
        repeats = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
        return np.repeat(self.rows[order], times), repeats


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
            yield BatchKey(0, rows, np.zeros_like(rows))


def _process() -> tuple[int, int]:
    """Rank of this process and number of processes."""
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
