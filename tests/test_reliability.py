"""Runs and sweeps that are killed while they write, on disks that are full or read-only, and the same run again.

The processes are forked from one that has imported everything, so a run costs two seconds instead of ten.
"""

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
import torch

from avce_pl.errors import AvceError
from avce_pl.report.tables.table import make_table
from tests.support.commands import ROOT, weights
from tests.support.runs import smallest_run, train

FOLDER = "demo/synthetic/avce/al/avce/none/seed_0"
SWEEP = "demo/synthetic/avce/al/none/none"
EVERY_BATCH = "callbacks.checkpoint_minutes=1e-6"
SEED = int(os.environ.get("AVCE_KILL_SEED", "0"))
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["avce_pl.training.experiment", "tests.test_reliability"])


def watch(root: str, kill_at: int | None) -> None:
    """Kills this process before operation number `kill_at` on a file below a folder; counts them in ``operations``."""
    count, counter = 0, os.open(f"{root}.operations", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)

    def hook(event: str, arguments: tuple) -> None:
        nonlocal count
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if (writes or event in ("os.rename", "os.remove", "os.truncate", "shutil.move")) and root in str(arguments[0]):
            count += 1
            os.pwrite(counter, f"{count}".encode(), 0)
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def _run(overrides: list[str], root: str, kill_at: int | None, sweep: bool) -> None:
    torch.set_num_threads(1)
    os.chdir(ROOT)
    os.dup2(os.open(f"{root}.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND), 2)
    watch(root, kill_at)
    if not sweep:
        train(overrides)
        return
    import runpy

    sys.argv = ["run.py", "-m", *overrides]
    try:
        runpy.run_path("run.py", run_name="__main__")
    except SystemExit as ended:
        os._exit(int(ended.code or 0))


def begin(overrides: list[str], root: Path, kill_at: int | None = None, *, sweep: bool = False) -> ForkServerProcess:
    """Starts a run, or a sweep, whose outputs are in `root`."""
    root.mkdir(exist_ok=True)
    process = SERVER.Process(target=_run, args=([*overrides, f"output_root={root}"], str(root), kill_at, sweep))
    process.start()
    return process


def end(process: ForkServerProcess) -> int:
    process.join(300)
    assert process.exitcode is not None, "still running after five minutes"
    return process.exitcode


def operations(root: Path) -> int:
    return int(Path(f"{root}.operations").read_text())


def assert_whole(folder: Path) -> None:
    """What bears a final name is complete."""
    for checkpoint in folder.rglob("*.ckpt"):
        torch.load(checkpoint, weights_only=True)
    for record in (*folder.rglob("metrics.json"), *folder.rglob("identity.json")):
        json.loads(record.read_text())


def assert_same(first: Path, second: Path) -> None:
    expected, got = weights(first), weights(second)
    assert all(torch.equal(value, got[name]) for name, value in expected.items())
    records = [json.loads((folder / "metrics.json").read_text()) for folder in (first, second)]
    for key in ("test", "best", "digest"):
        assert records[0][key] == records[1][key]


@pytest.fixture(scope="module")
def undisturbed(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """The command and the folder of a run that nobody disturbed."""
    root = tmp_path_factory.mktemp("undisturbed")
    overrides = [o for o in smallest_run(cache, root) if "output_root" not in o]
    overrides += [EVERY_BATCH, "method.dropout=0.5", "trainer.num_threads=1"]
    assert end(begin(overrides, root)) == 0
    return overrides, root


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_a_run_killed_while_it_writes_ends_with_the_same_weights(
    undisturbed: tuple[list[str], Path], tmp_path: Path, kills: int
) -> None:
    overrides, expected = undisturbed
    root, draw, moments = tmp_path / "outputs", random.Random(SEED + kills), []
    while len(moments) < kills:
        # Every attempt is killed at a file operation of its own, drawn from as many as a whole run makes.
        moments.append(draw.randint(1, operations(expected)))
        code = end(begin(overrides, root, moments[-1]))
        assert code in (-signal.SIGKILL, 0), Path(f"{root}.log").read_text()
        assert_whole(root)
        if code == 0:  # it went on from a checkpoint and was over before: start another one
            assert_same(expected / FOLDER, root / FOLDER)
            shutil.rmtree(root)
    assert end(begin(overrides, root)) == 0
    assert_same(expected / FOLDER, root / FOLDER)


def test_a_run_killed_between_its_last_files_ends_with_the_same_record(
    undisturbed: tuple[list[str], Path], tmp_path: Path
) -> None:
    overrides, expected = undisturbed
    root = tmp_path / "outputs"
    for kill_at in (operations(expected), operations(expected) - 1):  # metrics.json is renamed, and opened
        shutil.rmtree(root, ignore_errors=True)
        assert end(begin(overrides, root, kill_at)) == -signal.SIGKILL
        assert not (root / FOLDER / "metrics.json").exists()
    assert end(begin(overrides, root)) == 0
    assert_same(expected / FOLDER, root / FOLDER)


@pytest.mark.slow
def test_a_run_killed_at_any_time_ends_with_the_same_weights(
    undisturbed: tuple[list[str], Path], tmp_path: Path
) -> None:
    overrides, expected = undisturbed
    seconds = json.loads((expected / FOLDER / "metrics.json").read_text())["run"]["seconds"]
    root, draw, killed = tmp_path / "outputs", random.Random(SEED), 0
    for _ in range(20):
        process = begin(overrides, root)
        process.join(draw.uniform(0, 0.5) * seconds)
        process.kill()
        code = end(process)
        assert_whole(root)
        if code == 0:  # too late: start another one
            assert_same(expected / FOLDER, root / FOLDER)
            shutil.rmtree(root)
        killed += code == -signal.SIGKILL
    assert killed > 5
    assert end(begin(overrides, root)) == 0
    assert_same(expected / FOLDER, root / FOLDER)


@pytest.mark.slow
def test_a_sweep_killed_while_it_writes_loses_no_row_and_runs_none_twice(
    undisturbed: tuple[list[str], Path], tmp_path: Path
) -> None:
    overrides = [*undisturbed[0], "crl_formula=none", "seed=0,1,2"]
    expected, root = tmp_path / "expected", tmp_path / "outputs"
    assert end(begin(overrides, expected, sweep=True)) == 0
    draw, finished = random.Random(SEED), dict[Path, int]()
    for _ in range(10):
        code = end(begin(overrides, root, draw.randint(5, operations(expected) // 2), sweep=True))
        assert code in (-signal.SIGKILL, 0), Path(f"{root}.log").read_text()
        assert_whole(root)
        now = {file: file.stat().st_mtime_ns for file in root.rglob("metrics.json")}
        assert finished.items() <= now.items(), "a finished row was run again"
        finished = now
        if finished:
            ready = make_table("demo", root, None, [0, 1, 2])
            assert set(ready.lines["n"]) == {len(finished)}
    assert end(begin(overrides, root, sweep=True)) == 0
    for seed in range(3):
        assert_same(expected / SWEEP / f"seed_{seed}", root / SWEEP / f"seed_{seed}")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 4])
def test_the_number_of_workers_does_not_matter(
    undisturbed: tuple[list[str], Path], tmp_path: Path, workers: int
) -> None:
    overrides, expected = undisturbed
    assert end(begin([*overrides, f"dataset.num_workers={workers}"], tmp_path / "outputs")) == 0
    assert_same(expected / FOLDER, tmp_path / "outputs" / FOLDER)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of 1 MB until it is mounted anew."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk needs to be root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


@pytest.mark.parametrize("checkpoints", [0.3, pytest.param(1.7, marks=pytest.mark.slow)])  # as many fit
def test_a_full_disk_is_a_sentence_and_with_room_the_run_goes_on(
    undisturbed: tuple[list[str], Path], disk: Path, checkpoints: float
) -> None:
    overrides, expected = undisturbed
    mine = [*overrides, f"output_root={disk}"]
    size = (expected / FOLDER / "checkpoints/last.ckpt").stat().st_size
    remount(disk, f"size={round(checkpoints * size)}")
    with pytest.raises(AvceError, match=r"could not be written: .*No space left on device.*Free some space"):
        train(mine)
    assert_whole(disk)
    assert (checkpoints > 1) == (disk / FOLDER / "checkpoints/last.ckpt").exists()
    remount(disk, "size=500m")
    train(mine)
    assert_same(expected / FOLDER, disk / FOLDER)


def test_a_disk_that_becomes_read_only_is_a_sentence(undisturbed: tuple[list[str], Path], disk: Path) -> None:
    overrides, expected = undisturbed
    remount(disk, "size=500m")
    shutil.copytree(expected / FOLDER, disk / FOLDER)
    for file in (disk / FOLDER / "metrics.json", disk / FOLDER / "checkpoints/last.ckpt"):
        file.unlink()
    remount(disk, "ro")
    with pytest.raises(AvceError, match="Read-only file system"):
        train([*overrides, f"output_root={disk}"])
    remount(disk, "rw")
    train([*overrides, f"output_root={disk}"])
    assert_same(expected / FOLDER, disk / FOLDER)
