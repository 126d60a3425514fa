"""S8: how fast procedural faces are made, per core and with two processes.

The peer is what every image pipeline does to a 224-pixel picture: one `cv2.GaussianBlur` (sigma 1) and one JPEG round
trip (quality 75), in the same run, interleaved with the faces, so that the ratio means the same on any machine.
Figures are medians over rounds; a round renders 20 pictures of each of two new people, as the data set does.

Every figure is given in CPU seconds and in wall seconds of the same calls. Where other programs share the cores, wall
time says more about them than about the faces, so the targets are held against CPU time. By CPU time, the gain of two
processes is twice a face's cost alone over its cost while both draw: what they lose to each other in caches and memory,
not what a busy machine takes from both.

    python experiments/benchmarks/faces_speed.py --json faces_speed.json
"""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np
from common import arguments, at_least, finish

from avce_pl.synthesis import FaceStyle, draw

PICTURES = 20
SIZES = (224, 112, 64)
TARGETS = {"faces_per_second_224": 250.0, "faces_per_second_64": 400.0, "two_process_gain": 1.8}


class Timed(NamedTuple):
    """One figure, from CPU and from wall seconds."""

    cpu: float
    wall: float


def cost(work: Callable[..., object], *arguments: object) -> Timed:
    """Seconds of one call in this process."""
    cpu, wall = time.process_time(), time.perf_counter()
    work(*arguments)
    return Timed(time.process_time() - cpu, time.perf_counter() - wall)


def ratio(share: float, above: Iterable[Timed], below: Iterable[Timed]) -> Timed:
    """Median of ``share`` times the quotients of two series."""
    pairs = list(zip(above, below, strict=True))
    return Timed(*(share * statistics.median(a[k] / b[k] for a, b in pairs) for k in (0, 1)))


def rate(count: int, seconds: list[Timed]) -> Timed:
    """``count`` things per second, from the median of their seconds."""
    return Timed(*(count / statistics.median(s[k] for s in seconds) for k in (0, 1)))


def render_people(first: int, people: int, size: int) -> None:
    """Render `PICTURES` pictures of each of ``people`` people."""
    cv2.setNumThreads(1)
    for subject in range(first, first + people):
        for index in range(PICTURES):
            draw(0, subject, index, size, FaceStyle())


def cpu_of_people(first: int, people: int) -> float:
    """CPU seconds of ``people`` people at 224 pixels in the process that draws them."""
    return cost(render_people, first, people, 224).cpu


def run_peer(image: np.ndarray, times: int) -> None:
    """The peer, ``times`` times."""
    for _ in range(times):
        blurred = cv2.GaussianBlur(image, (0, 0), 1.0)
        cv2.imdecode(cv2.imencode(".jpg", blurred, [cv2.IMWRITE_JPEG_QUALITY, 75])[1], cv2.IMREAD_COLOR)


def spread(pool: ProcessPoolExecutor, jobs: int, first: int, people: int) -> Timed:
    """Seconds for ``people`` people split over ``jobs`` processes: the CPU's of all, the wall's until the last ends."""
    share, wall = people // jobs, time.perf_counter()
    cpu = sum(pool.map(cpu_of_people, [first + k * share for k in range(jobs)], [share] * jobs))
    return Timed(cpu, time.perf_counter() - wall)


def measure(rounds: int) -> dict[str, Timed]:
    """All figures of the benchmark."""
    cv2.setNumThreads(1)
    for size in SIZES:  # fills the background and noise banks
        render_people(10_000, 6, size)
    picture = draw(0, 0, 0, 224, FaceStyle())[1].image
    peer: list[Timed] = []
    faces: dict[int, list[Timed]] = {size: [] for size in SIZES}
    for k in range(rounds):
        peer.append(cost(run_peer, picture, 2 * PICTURES))
        for size in SIZES:
            faces[size].append(cost(render_people, 100 + 2 * k, 2, size))
    result = {"peers_per_second": rate(2 * PICTURES, peer)}
    for size in SIZES:
        result[f"faces_per_second_{size}"] = rate(2 * PICTURES, faces[size])
        result[f"face_over_peer_{size}"] = ratio(1, faces[size], peer)

    alone, together = [], []
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        spread(pool, 2, 20_000, 12)
        for _ in range(rounds):
            # Twelve people, more than the caches of people hold: none is left over from one to the next.
            alone.append(spread(pool, 1, 0, 12))
            together.append(spread(pool, 2, 0, 12))
    result["two_process_gain"] = Timed(ratio(2, alone, together).cpu, ratio(1, alone, together).wall)
    return result


if __name__ == "__main__":
    given = arguments(__doc__, rounds=9)
    result = measure(given.rounds)
    print(f"{'':22s}{'CPU':>10s}{'wall':>10s}")
    for name, value in result.items():
        print(f"{name:22s}{value.cpu:10.3f}{value.wall:10.3f}")
    rows = [at_least("S8", name.replace("_", " "), result[name].cpu, target) for name, target in TARGETS.items()]
    finish(rows, given.json)
