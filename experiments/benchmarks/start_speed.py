"""S7: how long `run.py --help` takes, and a row before its first batch, against the imports it cannot do without.

CPU seconds of whole processes, children included, medians of interleaved rounds. The row start is from the process's
start to its first training batch, with the faces in the cache; later rows of a sweep in the same process are from the
call of `run_experiment` to the first batch.

    python experiments/benchmarks/start_speed.py --json start_speed.json
"""

import os
import statistics
import subprocess
import sys
import tempfile

from common import Row, arguments, at_most, finish, note, ratio

from avce_pl.utils.resources import ROOT

ROW = """
import runpy, sys, time
import avce_pl.training.experiment as experiment
from avce_pl.method.base import Method
run, start = experiment.run_experiment, Method.on_train_batch_start
def timed_run(config):
    timed_run.began = time.process_time()
    return run(config)
def timed_start(self, batch, batch_idx):
    if self.trainer.global_step == 0:
        now = time.process_time()
        print("TIMED", now, now - timed_run.began, flush=True)
    start(self, batch, batch_idx)
experiment.run_experiment, Method.on_train_batch_start = timed_run, timed_start
sys.argv[0] = "run.py"
runpy.run_path("run.py", run_name="__main__")
"""
SMALL = [
    "logger=none",
    "trainer=debug",
    "trainer.num_threads=1",
    "trainer.accelerator=cpu",
    "dataset.train_subjects=4",
    "dataset.val_subjects=2",
    "dataset.test_subjects=2",
    "dataset.batch_size=8",
]


def processor_time(*command: str) -> float:
    """CPU seconds of a Python process."""
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with code {process.returncode}.")
    return usage.ru_utime + usage.ru_stime


def rows_of_a_sweep(outputs: str, *overrides: str) -> list[tuple[float, float]]:
    """CPU seconds at which each row's first batch began: since the process, and since the row."""
    command = [sys.executable, "-c", ROW, "-m", *SMALL, f"output_root={outputs}", *overrides]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    found = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("TIMED")]
    return [(float(process), float(row)) for process, row in found]


def measure(rounds: int) -> list[Row]:
    """All rows of the benchmark."""
    imports = {"import torch": ["-c", "import torch"], "import lightning": ["-c", "import pytorch_lightning"]}
    seconds: dict[str, list[float]] = {name: [] for name in (*imports, "help", "row", "later row")}
    with tempfile.TemporaryDirectory() as folder:
        cache = f"dataset.cache_dir={folder}/cache"
        for turn in range(rounds + 1):
            taken = {name: [processor_time(*command)] for name, command in imports.items()}
            taken["help"] = [processor_time("run.py", "--help")]
            starts = rows_of_a_sweep(f"{folder}/{turn}", cache, "seed=0,1,2")
            taken["row"], taken["later row"] = [starts[0][0]], [row for _, row in starts[1:]]
            if turn:  # the first one draws the faces and warms the disk
                for name, values in taken.items():
                    seconds[name] += values
    return [
        at_most("S7", "run.py --help over import torch", ratio(seconds["help"], seconds["import torch"]), 0.35),
        at_most(
            "S7",
            "first batch of a row over import pytorch_lightning",
            ratio(seconds["row"], seconds["import lightning"]),
            1.3,
        ),
        at_most("S7", "start of a later row of a sweep, seconds", statistics.median(seconds["later row"]), 0.5),
        *(note("S7", f"{name}, CPU seconds", statistics.median(values)) for name, values in seconds.items()),
    ]


if __name__ == "__main__":
    given = arguments(__doc__, rounds=3)
    finish(measure(given.rounds), given.json)
