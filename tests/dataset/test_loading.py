from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from avce_pl.dataset.core import batches as batches_module
from avce_pl.dataset.core.augmentation import Augmentation
from avce_pl.dataset.core.batches import (
    MOST_REPEATS,
    PLANE_BINS,
    BatchKey,
    EvaluationBatches,
    TrainBatches,
    expected_draws,
    plane_groups,
)
from avce_pl.dataset.core.loading import Batch, FaceDataset, FaceLoader
from avce_pl.errors import AvceError

ROWS, BATCH = 23, 4


def dataset(train: bool = True) -> FaceDataset:
    rng = np.random.default_rng(0)
    return FaceDataset(
        rng.integers(0, 256, (ROWS, 12, 12, 3), np.uint8),
        rng.uniform(-1, 1, (ROWS, 2)).astype(np.float32),
        np.arange(ROWS, dtype=np.int8) % 7,
        Augmentation(8, train, colour_jitter=0.3, seed=3),
    )


GROUPS = np.repeat([0, 1, 2], [18, 4, 1])


def loader(num_workers: int = 0, groups: NDArray[np.int64] | None = None) -> FaceLoader:
    return FaceLoader(dataset(), TrainBatches(np.arange(ROWS), BATCH, seed=3, groups=groups), num_workers)


def content(batch: Batch) -> tuple[bytes, ...]:
    return tuple(value.contiguous().numpy().tobytes() for value in batch.values())  # type: ignore[attr-defined]


def shares(processes: int, make: Any) -> list[list[list[int]]]:
    """Rows by process and batch."""
    result = []
    for rank in range(processes):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(batches_module, "_process", lambda rank=rank: (rank, processes))
            result.append([rows.tolist() for _, rows, _ in make()])
    return result


def test_a_batch_is_what_it_says() -> None:
    data = dataset(train=False)
    batch = data[BatchKey(0, np.array([5, 2]), np.array([0, 0]))]
    assert batch["image"].shape == (2, 3, 8, 8)
    assert batch["image"].dtype == torch.uint8
    assert batch["image"].is_contiguous()  # channels-last input makes a contiguous ResNet18 40 % slower on a CPU
    np.testing.assert_array_equal(batch["image"][0].permute(1, 2, 0), data.images[5][2:10, 2:10])
    np.testing.assert_array_equal(batch["label"], data.labels[[5, 2]])
    assert batch["row"].tolist() == [5, 2]
    assert batch["expression"].tolist() == [5, 2]
    assert {batch[key].dtype for key in ("row", "expression")} == {torch.int64}  # type: ignore[literal-required]


def test_every_epoch_has_its_own_order_of_full_batches() -> None:
    batches = TrainBatches(np.arange(100, 100 + ROWS), BATCH, seed=0)
    assert len(batches) == 5
    orders = []
    for epoch in range(3):
        batches.set_epoch(epoch)
        keys = list(batches)
        assert all(key.epoch == epoch and len(key.rows) == BATCH and not key.repeats.any() for key in keys)
        rows = np.concatenate([key.rows for key in keys])
        assert len(np.unique(rows)) == 20
        assert set(rows.tolist()) <= set(range(100, 100 + ROWS))
        orders.append(rows.tolist())
    assert orders[0] != orders[1] != orders[2]
    batches.set_epoch(0)
    assert np.concatenate([key.rows for key in batches]).tolist() == orders[0]


def unbalanced() -> NDArray[np.int64]:
    """Groups of 900, 90, 9 and 1 rows, mixed."""
    return np.random.default_rng(0).permutation(np.repeat([4, 0, 7, 2], [900, 90, 9, 1]))


def test_balanced_groups_are_drawn_equally_often_up_to_the_limit() -> None:
    draws = expected_draws(unbalanced())
    total = {group: draws[unbalanced() == group].sum() for group in (4, 0, 7, 2)}
    assert total == pytest.approx({4: 450.0, 0: 450.0, 7: 90.0, 2: 10.0})
    assert expected_draws(np.zeros(5, np.int64)).tolist() == [1.0] * 5
    assert expected_draws(np.zeros(0, np.int64)).tolist() == []


@given(groups=st.lists(st.integers(0, 12), min_size=1, max_size=80))
def test_expected_draws_fill_an_epoch_and_level_the_groups(groups: list[int]) -> None:
    array = np.array(groups)
    draws = expected_draws(array)
    assert draws.sum() == pytest.approx(len(groups))
    assert draws.max() <= MOST_REPEATS + 1e-9
    totals = {group: draws[array == group].sum() for group in set(groups)}
    free = [total for group, total in totals.items() if total < MOST_REPEATS * groups.count(group) - 1e-9]
    assert np.ptp(free or [0]) < 1e-9  # equal among those below their limit ...
    assert all(total <= min(free, default=np.inf) + 1e-9 for total in totals.values())  # ... who have the most


def test_a_balanced_epoch_takes_what_it_should() -> None:
    groups = unbalanced()
    rows = np.arange(1000) + 500
    batches = TrainBatches(rows, 10, seed=0, groups=groups)
    assert len(batches) == 100
    counts = np.zeros((200, 1000))
    for epoch in range(200):
        batches.set_epoch(epoch)
        drawn = list(batches)
        for row, repeat in zip(*(np.concatenate([key[part] for key in drawn]) for part in (1, 2)), strict=True):
            assert repeat <= counts[epoch, row - 500] + MOST_REPEATS
            counts[epoch, row - 500] += 1
        pairs = [pair for key in drawn for pair in zip(key.rows.tolist(), key.repeats.tolist(), strict=True)]
        assert len(set(pairs)) == 1000  # no two draws of an epoch are augmented alike
        assert {row for row, repeat in pairs if repeat == 0} == {row for row, _ in pairs}
    expected = expected_draws(groups)
    assert np.abs(counts - expected).max() < 1 + 1e-9
    for group in (4, 0, 7, 2):
        assert np.abs(counts[:, groups == group].sum(1) - expected[groups == group].sum()).max() < 1 + 1e-9
    np.testing.assert_allclose(counts.mean(0), expected, atol=0.2)
    assert len({counts[epoch].tobytes() for epoch in range(200)}) == 200


def test_repeats_of_an_image_are_augmented_differently() -> None:
    batch = dataset()[BatchKey(3, np.array([5] * 8), np.arange(8))]
    assert len({image.numpy().tobytes() for image in batch["image"]}) == 8
    again = dataset()[BatchKey(3, np.array([5]), np.array([6]))]
    assert torch.equal(again["image"][0], batch["image"][6])


def test_plane_groups_are_the_bins_of_the_plane() -> None:
    edges = np.linspace(-1, 1, PLANE_BINS + 1)
    labels = np.random.default_rng(0).uniform(-1, 1, (500, 2)).astype(np.float32)
    labels[:4] = [(-1, -1), (1, 1), (0, 0), (-1, 1)]
    groups = plane_groups(labels)
    for (valence, arousal), group in zip(labels, groups, strict=True):
        column, row = divmod(group, PLANE_BINS)
        assert edges[column] <= valence <= edges[column + 1]
        assert edges[row] <= arousal <= edges[row + 1]
    assert groups[:4].tolist() == [0, 63, 36, 7]


def test_a_data_set_smaller_than_a_batch_is_one_batch() -> None:
    (key,) = TrainBatches(np.arange(3), 32, seed=0)
    assert sorted(key.rows.tolist()) == [0, 1, 2]


def test_a_single_training_image_is_refused() -> None:
    with pytest.raises(AvceError, match="at least two"):
        TrainBatches(np.arange(1), 32, seed=0)


@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("groups", [None, np.arange(70) ** 2 // 1500])
def test_processes_share_the_batches_of_one(processes: int, groups: NDArray[np.int64] | None) -> None:
    (alone,) = shares(1, lambda: TrainBatches(np.arange(70), 8, seed=1, groups=groups))
    together = shares(processes, lambda: TrainBatches(np.arange(70), 8, seed=1, groups=groups))
    joined = [[row for part in parts for row in part] for parts in zip(*together, strict=True)]
    assert joined == alone
    assert {len(rows) for batches in together for rows in batches} == {8 // processes}


def test_a_batch_that_cannot_be_shared_equally_is_refused() -> None:
    with pytest.raises(AvceError, match="cannot be shared by 3"):
        shares(3, lambda: TrainBatches(np.arange(70), 8, seed=1))


@given(rows=st.integers(0, 200), batch_size=st.integers(1, 20), processes=st.integers(1, 4))
def test_evaluation_sees_every_row_once_in_equally_many_batches(rows: int, batch_size: int, processes: int) -> None:
    try:
        together = shares(processes, lambda: EvaluationBatches(np.arange(rows), batch_size))
    except AvceError:
        assert rows < processes * -(-rows // batch_size)
        return
    assert {len(batches) for batches in together} == {-(-rows // batch_size)}
    assert [row for parts in zip(*together, strict=True) for part in parts for row in part] == list(range(rows))
    assert all(0 < len(part) <= batch_size for batches in together for part in batches)


def test_rank_and_number_of_processes_come_from_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    assert batches_module._process() == (0, 1)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 2)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 4)
    assert batches_module._process() == (2, 4)


@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes")
def test_batches_do_not_depend_on_the_number_of_workers() -> None:
    def run(num_workers: int) -> Iterator[tuple[bytes, ...]]:
        batches = loader(num_workers)
        for epoch in range(2):
            batches.sampler.set_epoch(epoch)  # type: ignore[union-attr]
            yield from map(content, batches)

    alone = list(run(0))
    assert len(set(alone)) == 10
    assert list(run(2)) == alone
    assert list(run(4)) == alone


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("taken", [0, 1, 4, 5])
@pytest.mark.parametrize("groups", [None, GROUPS])
def test_a_loader_continues_where_another_stopped(
    num_workers: int, taken: int, groups: NDArray[np.int64] | None
) -> None:
    def epoch(batches: FaceLoader, number: int) -> Iterator[tuple[bytes, ...]]:
        batches.sampler.set_epoch(number)  # type: ignore[union-attr]
        return map(content, batches)

    whole = list(epoch(loader(0, groups), 7))
    first = loader(num_workers, groups)
    iterator = epoch(first, 7)
    begun = [next(iterator) for _ in range(taken)]
    state = first.state_dict()
    assert state == {"epoch": 7, "batches": taken}

    second = loader(num_workers, groups)
    second.load_state_dict(state)
    assert second.state_dict() == state
    assert len(second) == 5  # Lightning counts the batches of an epoch from here
    assert begun + list(map(content, second)) == whole
    assert list(epoch(second, 7)) == whole  # only the interrupted epoch is shortened
    second.load_state_dict(state)
    assert list(epoch(second, 8)) == list(epoch(loader(0, groups), 8))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_epoch_that_is_left_early_does_not_touch_the_next(num_workers: int) -> None:
    batches = loader(num_workers)
    iterator = iter(batches)
    next(iterator)
    batches.sampler.set_epoch(1)  # type: ignore[union-attr]
    seen = [batch["row"].tolist() for batch in batches]
    assert batches.state_dict() == {"epoch": 1, "batches": 5}
    other = loader()
    other.sampler.set_epoch(1)  # type: ignore[union-attr]
    assert seen == [batch["row"].tolist() for batch in other]


class Recorder(pl.LightningModule):
    """Keeps what it was trained on; stops with an error before batch number `stop`."""

    def __init__(self, stop: int | None) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.stop = stop
        self.seen: list[tuple[int, int, tuple[bytes, ...]]] = []

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        if len(self.seen) == self.stop:
            raise InterruptedError
        self.seen.append((self.current_epoch, batch_idx, content(batch)))
        loss: torch.Tensor = self.layer(batch["label"].mean().view(1, 1)).sum()
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(folder: Path, num_workers: int, checkpoint: dict[str, Any], stop: int | None = None) -> Recorder:
    callback = pl.callbacks.ModelCheckpoint(folder, "last", save_top_k=-1, enable_version_counter=False, **checkpoint)
    trainer = pl.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        callbacks=[callback],
    )
    torch.manual_seed(0)
    module = Recorder(stop)
    validation = FaceLoader(dataset(False), EvaluationBatches(np.arange(ROWS), BATCH))
    path = folder / "last.ckpt"
    trainer.fit(module, loader(num_workers), validation, ckpt_path=path if path.exists() else None, weights_only=True)
    return module


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # Lightning 2.6 with torch 2.15
@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
@pytest.mark.parametrize(
    ("num_workers", "stop", "checkpoint"),
    [
        (0, 3, {"every_n_train_steps": 1}),  # in the first epoch
        (2, 3, {"every_n_train_steps": 1}),
        (0, 8, {"every_n_train_steps": 1}),  # in the second
        (2, 8, {"every_n_train_steps": 1}),
        (0, 9, {"every_n_train_steps": 2}),  # one batch is trained on again
        (0, 5, {"every_n_train_steps": 1}),  # after the last batch of an epoch
        (2, 10, {"every_n_train_steps": 1}),
        (0, 5, {"every_n_epochs": 1}),  # after the validation
        (2, 12, {"every_n_epochs": 1}),
        (2, 12, {"every_n_epochs": 1, "save_on_train_epoch_end": True}),
    ],
)
def test_lightning_continues_an_interrupted_training(
    tmp_path: Path, num_workers: int, stop: int, checkpoint: dict[str, Any]
) -> None:
    whole = fit(tmp_path / "whole", 0, checkpoint)
    assert [step[:2] for step in whole.seen] == [(epoch, batch) for epoch in range(3) for batch in range(5)]

    with pytest.raises(InterruptedError):
        fit(tmp_path / "parts", num_workers, checkpoint, stop)
    continued = fit(tmp_path / "parts", num_workers, checkpoint)
    assert len(continued.seen) < len(whole.seen)
    assert continued.seen == whole.seen[-len(continued.seen) :]
    assert len(continued.seen) >= len(whole.seen) - stop
    assert torch.equal(continued.layer.weight, whole.layer.weight)
    assert all(earlier[:2] < later[:2] for earlier, later in pairwise(continued.seen))
