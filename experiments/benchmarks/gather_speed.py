"""Scale: what gathering latents and labels of all processes costs, of an AL step at 224 pixels.

2 and 4 processes on this machine (gloo, over its loopback) with 256 samples each gather what a step of AVCE gathers,
with gradients: latents (N, 32) twice and labels (N, 2) once, and go backward through it. Wall time of the first
process, medians, between barriers, over the wall time of one AL step of 256 pictures alone. With more processes than
cores the processes wait for each other's turn, so the figure is an upper bound. 64 processes are computed from the
bytes: 64 x 256 x (2 x 32 + 2) float32 received a step, over 10 Gbit/s.

    python experiments/benchmarks/gather_speed.py --json gather_speed.json
"""

import statistics
import tempfile
import time
import warnings
from pathlib import Path

import torch
import torch.multiprocessing
from common import Row, arguments, at_most, finish, note
from lightning_fabric.utilities.distributed import _all_gather_ddp_if_available

from avce_pl.backbone.alexnet import AlexNet

SAMPLES, LATENT = 256, 32
BYTES = 4 * SAMPLES * (2 * LATENT + 2)


def one_step() -> None:
    """What a step of AVCE gathers, and its gradient."""
    latents = [torch.randn(SAMPLES, LATENT, requires_grad=True) for _ in range(2)]
    for latent in latents:
        _all_gather_ddp_if_available(latent, sync_grads=True).sum().backward()
    _all_gather_ddp_if_available(torch.randn(SAMPLES, 2))


def process(rank: int, processes: int, rounds: int, folder: str) -> None:
    """One of the processes; the first writes its median."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/meeting{processes}", rank=rank, world_size=processes)
    seconds = []
    for turn in range(rounds + 3):
        torch.distributed.barrier()
        start = time.perf_counter()
        one_step()
        if turn >= 3:
            seconds.append(time.perf_counter() - start)
    if rank == 0:
        Path(folder, f"{processes}.txt").write_text(str(statistics.median(seconds)))
    torch.distributed.destroy_process_group()


def step_alone() -> float:
    """Seconds of the two forward and backward passes of AL on 256 pictures, from 32 of them."""
    torch.set_num_threads(1)
    network, image = AlexNet(), torch.randn(32, 3, 224, 224)
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        for _ in range(2):
            network(image).sum().backward()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:]) * SAMPLES / len(image)


def measure(rounds: int) -> list[Row]:
    """All rows of the benchmark."""
    step, rows = step_alone(), []
    with tempfile.TemporaryDirectory() as folder:
        for processes in (2, 4):
            torch.multiprocessing.spawn(process, (processes, rounds, folder), nprocs=processes)
            seconds = float(Path(folder, f"{processes}.txt").read_text())
            rows.append(at_most("gather", f"{processes} processes, share of an AL step", seconds / step, 0.01))
            rows.append(note("gather", f"{processes} processes, milliseconds", 1e3 * seconds))
    network = 64 * BYTES * 8 / 10e9
    rows.append(at_most("gather", "64 processes over 10 Gbit/s (computed), share of an AL step", network / step, 0.01))
    return [*rows, note("gather", "AL step of 256 pictures on one core, milliseconds", 1e3 * step)]


if __name__ == "__main__":
    given = arguments(__doc__, rounds=100)
    finish(measure(given.rounds), given.json)
