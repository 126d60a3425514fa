"""Scale: whether memory grows over 1,000 training steps, and over 20 rows of a sweep in one process.

Resident memory of a process that trains as `python run.py` does, on small procedural faces, by least squares over the
steps after the first 200, and over the rows after the first five; the targets are "flat", read here as less growth
than a leak of one batch (16 pictures of 64 pixels in float32, 0.8 MB) per 100 steps, and of one set of weights (11 MB)
per ten rows.

    python experiments/benchmarks/memory.py --json memory.json
"""

import os
import subprocess
import sys
import tempfile

import numpy as np
from common import Row, arguments, at_most, finish, note

from avce_pl.utils.resources import ROOT

PROGRAM = """
import runpy, sys
from pathlib import Path
from avce_pl.method.base import Method
end = Method.end_batch
def measured(self, losses):
    end(self, losses)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    print("MEMORY", self.trainer.global_step, pages * 4096 / 1e6, flush=True)
Method.end_batch = measured
sys.argv[0] = "run.py"
runpy.run_path("run.py", run_name="__main__")
"""
SMALL = [
    "logger=none",
    "trainer.num_threads=1",
    "trainer.accelerator=cpu",
    "dataset.image_size=64",
    "dataset.train_subjects=8",
    "dataset.val_subjects=2",
    "dataset.test_subjects=2",
    "dataset.batch_size=16",
    "backbone.dropout=0.0",
]


def megabytes(*overrides: str) -> list[tuple[int, float]]:
    """Step and resident memory after every batch."""
    command = [sys.executable, "-c", PROGRAM, *overrides, *SMALL]
    # glibc gives back what is free, or what it happens to keep, up to 30 MB, hides what grows
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    found = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("MEMORY")]
    return [(int(step), float(size)) for step, size in found]


def slope(values: list[float]) -> float:
    """Growth from one value to the next, by least squares."""
    return float(np.polyfit(np.arange(len(values)), values, 1)[0])


def measure() -> list[Row]:
    """All rows of the benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        cache = f"dataset.cache_dir={folder}/cache"
        steps = megabytes(cache, f"output_root={folder}/steps", "trainer.max_epochs=100")
        seeds = ",".join(map(str, range(20)))
        rows = megabytes("-m", cache, f"output_root={folder}/rows", "trainer=debug", f"seed={seeds}")
    sizes = [size for step, size in steps if step > 200]
    first = [size for step, size in rows if step == 1]
    return [
        at_most("memory", "growth over 100 steps, MB (1,000 steps)", 100 * slope(sizes), 0.8),
        at_most("memory", "growth over ten rows of a sweep, MB (20 rows)", 10 * slope(first[5:]), 11),
        note("memory", "after 200 steps, MB", sizes[0]),
        note("memory", f"after {steps[-1][0]:,} steps, MB", sizes[-1]),
        note("memory", "first row of the sweep, MB", first[0]),
        note("memory", f"row {len(first)} of the sweep, MB", first[-1]),
    ]


if __name__ == "__main__":
    given = arguments(__doc__, rounds=1)
    finish(measure(), given.json)
