"""Sweeps as a user starts them: rows that fail, that are interrupted, and beside each other."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.support.commands import call, finish, start

ROWS = "demo/synthetic/avce/al/none"


def test_one_row_fails_the_others_run_and_the_same_command_repairs_it(tiny: list[str], tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    blocked = outputs / ROWS / "none/seed_0/checkpoints"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file where the row wants a folder")
    sweep = ("run.py", "-m", *tiny, "trainer.max_epochs=1", "crl_formula=none", "seed=0,1", "trainer.num_threads=1")
    parallel = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    code, out, err = call(*sweep, *parallel)
    assert code != 0
    assert "has ended (seed=1)" in " ".join(out.split())
    assert (outputs / ROWS / "none/seed_1/metrics.json").exists()
    assert "Traceback" in (outputs / ROWS / "none/seed_0/failed.txt").read_text()
    code, out, err = call("-m", "avce_pl", "table", "demo", "--outputs", str(outputs))
    assert code == 0, err
    assert "Failed, see failed.txt in the run's folder: none/seed 0." in out
    blocked.unlink()
    finished = (outputs / ROWS / "none/seed_1/metrics.json").stat().st_mtime_ns
    code, out, err = call(*sweep)  # the rows are the same, whichever launcher runs them
    assert code == 0, err
    assert "already done" in out
    assert "row 2 of 2 has ended" in " ".join(out.split())
    assert (outputs / ROWS / "none/seed_1/metrics.json").stat().st_mtime_ns == finished
    assert (outputs / ROWS / "none/seed_0/metrics.json").exists()
    assert not (outputs / ROWS / "none/seed_0/failed.txt").exists()


def test_ctrl_c_ends_the_sweep_and_not_only_the_row(tiny: list[str], tmp_path: Path) -> None:
    sweep = ("run.py", "-m", *tiny, "trainer.max_epochs=3", "crl_formula=none", "seed=0,1", "name=of_${seed}")
    rows = [tmp_path / f"outputs/of_{seed}/synthetic/avce/al/none/none/seed_{seed}" for seed in (0, 1)]
    process = start(*sweep)
    last = rows[0] / "checkpoints/last.ckpt"
    while not last.exists():
        assert process.poll() is None, finish(process)
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    if code == 0:
        pytest.fail("the sweep was over before the signal came")
    assert code == 130
    assert "run the same command again to resume" in " ".join(err.split())
    assert not rows[1].exists()
    code, out, err = call(*sweep)
    assert code == 0, err
    assert all((row / "metrics.json").exists() for row in rows)
    assert "row 2 of 2 has ended (seed=1)" in " ".join(out.split())


def heed_ctrl_c() -> None:
    """Where the tests run in the background, Ctrl-C is ignored, and every process inherits that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_several_processes_end_together_however_they_are_ended(tiny: list[str], tmp_path: Path) -> None:
    """Ctrl-C and SIGTERM reach all processes of a command, a kill -9 the first one alone."""
    sweep = ["run.py", "-m", *tiny, "trainer.max_epochs=40", "crl_formula=none", "seed=0,1", "trainer.num_threads=1"]
    sweep += ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    drawing = ["run.py", *tiny, "dataset.images_per_subject=400", f"dataset.cache_dir={tmp_path}/cache", "name=drawing"]
    for command, begun, number in (
        ([*sweep, "name=interrupted"], "interrupted/**/last.ckpt", signal.SIGINT),
        ([*sweep, "name=terminated"], "terminated/**/last.ckpt", signal.SIGTERM),
        ([*sweep, "name=killed"], "killed/**/last.ckpt", signal.SIGKILL),
        (drawing, "*.partial/images.npy", signal.SIGINT),
    ):
        process = start(*command, start_new_session=True, preexec_fn=heed_ctrl_c)
        while not any(path.stat().st_size > 100_000 for path in tmp_path.rglob(begun)):
            assert process.poll() is None, finish(process)
            time.sleep(0.02)
        (os.kill if number == signal.SIGKILL else os.killpg)(process.pid, number)
        code, _, err = finish(process)
        if number != signal.SIGKILL:
            assert code == 128 + number
            assert "run the same command again to resume" in " ".join(err.split())
            assert "Traceback" not in err
        assert ended(process.pid)
    assert not list(tmp_path.rglob("failed.txt"))


def ended(group: int) -> bool:
    """Whether no process of a group is left after some seconds."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_several_devices_in_a_sweep_are_refused(tiny: list[str], tmp_path: Path) -> None:
    code, _, err = call("run.py", "-m", *tiny, "seed=0,1", "trainer=ddp")
    assert code == 1
    assert "A row of a sweep runs on one device, but trainer.devices=2" in " ".join(err.split())
    assert "Traceback" not in err
    assert not (tmp_path / "outputs" / "demo/synthetic").exists()


def test_slurm_without_slurm_is_a_sentence(tiny: list[str]) -> None:
    code, _, err = call("run.py", "-m", *tiny, "seed=0,1", "hydra/launcher=submitit_slurm")
    assert code == 1
    assert "there is no srun here" in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_rows_as_jobs_of_submitit(tiny: list[str], tmp_path: Path) -> None:
    local = ("hydra/launcher=submitit_local", "hydra.launcher.timeout_min=10", "hydra.launcher.cpus_per_task=1")
    code, _, err = call("run.py", "-m", *tiny, "trainer.max_epochs=1", "crl_formula=none", "seed=0,1", *local)
    assert code == 0, err
    assert all((tmp_path / "outputs" / ROWS / f"none/seed_{seed}/metrics.json").exists() for seed in (0, 1))
