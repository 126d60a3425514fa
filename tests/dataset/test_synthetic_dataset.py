import multiprocessing
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avce_pl.dataset import synthetic
from avce_pl.dataset.synthetic import SyntheticDataModule
from avce_pl.errors import AvceError
from avce_pl.synthesis import draw

SMALL: dict[str, Any] = {"train_subjects": 3, "val_subjects": 2, "test_subjects": 1, "images_per_subject": 2}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


def module(cache: str, **options: Any) -> SyntheticDataModule:
    return SyntheticDataModule(**{**SMALL, "image_size": 32, "batch_size": 4, "cache_dir": cache, **options})


def test_the_index_says_what_was_drawn(cache: str) -> None:
    data = module(cache)
    assert data.describe()["rows"] == {"train": 6, "val": 4, "test": 2}
    assert data.test_split == "test"
    assert data.resize_size == 37
    style = replace(
        data.people.style, crop=data.people.style.crop * 32 / 37
    )  # so that the centre crop shows what `crop` says
    assert data.faces.landmarks is not None
    for row, path in enumerate(data.index["path"]):
        face, rendered = draw(0, *map(int, path.split("/")), 37, style)
        np.testing.assert_array_equal(data.images[row], rendered.image)
        np.testing.assert_array_equal(data.faces.labels[row], face.label)
        np.testing.assert_array_equal(data.faces.landmarks[row], rendered.landmarks)
        assert data.index["expression"][row] == face.expression


def test_nobody_is_in_two_splits(cache: str) -> None:
    people = module(cache).index.groupby("split", observed=True)["subject"].agg(set)
    assert [len(people[split]) for split in ("train", "val", "test")] == [3, 2, 1]
    assert not people["train"] & people["val"]
    assert not (people["train"] | people["val"]) & people["test"]


def test_faces_are_drawn_once(cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = module(cache).fingerprint
    monkeypatch.setattr(synthetic, "ProcessPoolExecutor", lambda **_: pytest.fail("drawn again"))
    assert module(cache, seed=9, batch_size=2, colour_jitter=0.5, num_workers=3).fingerprint == before


@pytest.mark.parametrize("change", [{"population": 1}, {"level": 0.2}, {"image_size": 30}, {"val_subjects": 1}])
def test_every_setting_of_the_faces_is_in_the_fingerprint(cache: str, change: dict[str, Any]) -> None:
    assert module(cache, **change).fingerprint != module(cache).fingerprint


def test_a_change_of_the_generator_is_in_the_fingerprint(cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = module(cache).fingerprint
    monkeypatch.setattr(synthetic, "_generator_digest", lambda: "another")
    assert module(cache).fingerprint != before


def test_batches_reach_the_network_normalised(cache: str) -> None:
    data = module(cache)
    data.prepare_data()
    raw = next(iter(data.val_dataloader()))
    batch = data.on_after_batch_transfer(raw, 0)
    assert batch["image"].shape == (4, 3, 32, 32)
    assert batch["image"].dtype == torch.float32
    assert raw["image"].dtype == torch.uint8
    pixel = torch.from_numpy(data.images[6][2:34, 2:34].copy()).permute(2, 0, 1) / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(batch["image"][0], (pixel - mean.view(3, 1, 1)) / std.view(3, 1, 1))
    assert batch["row"].tolist() == [6, 7, 8, 9]
    np.testing.assert_array_equal(batch["label"], data.faces.labels[6:10])


def test_training_batches_are_augmented_by_the_seed(cache: str) -> None:
    (first,), (same,), (other,) = (list(module(cache, seed=seed).train_dataloader()) for seed in (1, 1, 2))
    assert torch.equal(first["image"], same["image"])
    assert not torch.equal(first["image"], other["image"])


def test_complains_about_sizes(cache: str) -> None:
    with pytest.raises(AvceError, match=r"dataset\.batch_size"):
        module(cache, batch_size=None).train_dataloader()
    with pytest.raises(AvceError, match="smaller than the crop"):
        module(cache, resize_size=31)
    assert SyntheticDataModule(image_size=224).resize_size == 256
    assert module(cache, resize_size=32).resize_size == 32


def _open(folder: Path, answers: "multiprocessing.Queue[tuple[str, int]]") -> None:
    data = module(str(folder), train_subjects=15, images_per_subject=20)
    answers.put((data.fingerprint, len(data.images)))  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_process_of_any_kind_can_have_faces_drawn(method: str, tmp_path: Path) -> None:
    context: Any = multiprocessing.get_context(method)
    answers = context.Queue()
    process = context.Process(target=_open, args=(tmp_path, answers))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert answers.get()[1] == 360


def test_a_kill_in_the_middle_leaves_nothing_wrong(tmp_path: Path) -> None:
    answers: multiprocessing.Queue[tuple[str, int]] = multiprocessing.Queue()

    def start() -> multiprocessing.Process:
        process = multiprocessing.Process(target=_open, args=(tmp_path, answers))
        process.start()
        return process

    killed = start()
    while not any(path.stat().st_size > 300_000 for path in tmp_path.glob("*.partial/images.npy")):
        assert killed.is_alive()
        time.sleep(0.01)
    killed.kill()
    killed.join()
    assert {path.suffix for path in tmp_path.iterdir()} == {".lock", ".partial"}

    both = [start(), start()]
    for process in both:
        process.join()
    assert answers.get() == answers.get()
    (entry,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert {path.name for path in entry.iterdir()} == {"images.npy", "index.parquet", "landmarks.npy", "sizes.json"}
    assert len(np.load(entry / "images.npy")) == 360
