import multiprocessing
import pickle
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from avce_pl.dataset.core import cache
from avce_pl.dataset.core.cache import ImageArray, cached, digest, write_images
from avce_pl.errors import AvceError


def test_a_folder_is_built_once(tmp_path: Path) -> None:
    calls: list[Path] = []

    def build(folder: Path) -> None:
        calls.append(folder)
        (folder / "x").write_text("1")

    for _ in range(2):
        assert (cached(tmp_path / "deep" / "entry", build) / "x").read_text() == "1"
    assert len(calls) == 1
    assert calls[0].name != "entry"


def test_what_an_interrupted_build_left_is_thrown_away(tmp_path: Path) -> None:
    def interrupted(folder: Path) -> None:
        (folder / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path / "entry", interrupted)
    assert not list(tmp_path.glob("entry*/"))  # the lock is a file
    entry = cached(tmp_path / "entry", lambda folder: (folder / "whole").touch())
    assert {path.name for path in entry.iterdir()} == {"whole", "sizes.json"}


@pytest.mark.parametrize("file", ["images.npy", "sizes.json"])
@pytest.mark.parametrize("damage", [None, b"", b"noise", b"[]", b"null"])
def test_what_is_damaged_is_made_anew(
    file: str, damage: bytes | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)

    def build(folder: Path) -> None:
        write_images(folder / "images.npy", iter(images), 5, 8)

    entry = cached(tmp_path / "entry", build)
    opened = ImageArray(entry / "images.npy")  # by another training, which goes on with what it has
    (entry / file).unlink()
    if damage is not None:
        (entry / file).write_bytes(damage)
    array = ImageArray(cached(entry, build) / "images.npy")
    assert "entry is damaged and is built again" in caplog.text
    for row in range(5):
        np.testing.assert_array_equal(array[row], images[row])
        np.testing.assert_array_equal(opened[row], images[row])


def _build_slowly(folder: Path) -> None:
    time.sleep(0.5)
    with (folder.parent / "calls").open("a") as file:
        file.write("x")


def _call(folder: Path) -> None:
    cached(folder, _build_slowly)


def test_two_processes_build_once(tmp_path: Path) -> None:
    processes = [multiprocessing.Process(target=_call, args=(tmp_path / "entry",)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert (tmp_path / "calls").read_text() == "x"


def _build_endlessly(folder: Path) -> None:
    (folder / "half").touch()
    (folder.parent / "begun").touch()
    time.sleep(60)


def test_after_a_kill_the_next_process_starts_afresh(tmp_path: Path) -> None:
    killed = multiprocessing.Process(target=cached, args=(tmp_path / "entry", _build_endlessly))
    killed.start()
    while not (tmp_path / "begun").exists():
        assert killed.is_alive()
        time.sleep(0.01)
    killed.kill()
    killed.join()
    entry = cached(tmp_path / "entry", lambda folder: (folder / "whole").touch())
    assert {path.name for path in entry.iterdir()} == {"whole", "sizes.json"}


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AvceError, match=r"could not be written.*cache_dir"):
        cached(tmp_path / "file" / "entry", lambda folder: None)


def test_a_full_disk_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
    with pytest.raises(AvceError, match=r"0\.0 GB free"):
        cached(tmp_path / "entry", lambda folder: write_images(folder / "images.npy", [], 2, 8))


def test_images_come_back_and_pickle_as_a_path(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    write_images(tmp_path / "images.npy", iter(images), 5, 8)
    array = ImageArray(tmp_path / "images.npy")
    assert len(array) == 5
    np.testing.assert_array_equal(np.stack([array[row] for row in range(5)]), images)
    pickled = pickle.dumps(array)
    assert len(pickled) < 500
    np.testing.assert_array_equal(pickle.loads(pickled)[3], images[3])


def test_no_pickle_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", np.array([{"a": 1}], object))
    with pytest.raises(ValueError, match=r"pickle|Python objects"):
        ImageArray(tmp_path / "images.npy")


def test_digest_sees_every_part() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert len({digest(1, 2), digest(2, 1), digest([1, 2]), digest("1", 2)}) == 4
