"""S8: how fast procedural faces are made, per core and with two processes.

The peer is what every image pipeline does to a 224-pixel picture: one `cv2.GaussianBlur` (sigma 1) and one JPEG round
trip (quality 75), in the same run, interleaved with the faces, so that the ratio means the same on any machine. Times
are CPU seconds of one thread, medians over rounds; a round renders 20 pictures of each of two new people, as the data
set does.

    python experiments/benchmarks/faces_speed.py --output faces_speed.json
"""

import argparse
import json
import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from avce_pl.synthesis import FaceStyle, draw

PICTURES = 20
SIZES = (224, 64)


def render_people(first: int, people: int, size: int) -> int:
    """Render `PICTURES` pictures of each of ``people`` people; the number of pictures."""
    cv2.setNumThreads(1)
    for subject in range(first, first + people):
        for index in range(PICTURES):
            draw(0, subject, index, size, FaceStyle())
    return people * PICTURES


def run_peer(image: np.ndarray, times: int) -> None:
    """The peer, ``times`` times."""
    for _ in range(times):
        blurred = cv2.GaussianBlur(image, (0, 0), 1.0)
        cv2.imdecode(cv2.imencode(".jpg", blurred, [cv2.IMWRITE_JPEG_QUALITY, 75])[1], cv2.IMREAD_COLOR)


def cpu_seconds(work, *arguments) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    work(*arguments)
    return time.process_time() - start


def wall_seconds(pool: ProcessPoolExecutor, jobs: int, first: int, people: int) -> float:
    """Wall seconds for ``people`` people split over ``jobs`` tasks of the pool."""
    share = people // jobs
    start = time.perf_counter()
    list(pool.map(render_people, [first + k * share for k in range(jobs)], [share] * jobs, [224] * jobs))
    return time.perf_counter() - start


def measure(rounds: int) -> dict[str, float]:
    """All figures of the benchmark."""
    cv2.setNumThreads(1)
    for size in SIZES:  # fills the background and noise banks
        render_people(10_000, 6, size)
    picture = draw(0, 0, 0, 224, FaceStyle())[1].image
    seconds: dict[str, list[float]] = {"peer": [], **{str(size): [] for size in SIZES}}
    for k in range(rounds):
        seconds["peer"].append(cpu_seconds(run_peer, picture, 40) / 40)
        for size in SIZES:
            seconds[str(size)].append(cpu_seconds(render_people, 100 + 2 * k, 2, size) / (2 * PICTURES))
    result = {f"faces_per_core_second_{size}": 1 / statistics.median(seconds[str(size)]) for size in SIZES}
    result["peer_milliseconds"] = 1e3 * statistics.median(seconds["peer"])
    for size in SIZES:
        ratios = [face / peer for face, peer in zip(seconds[str(size)], seconds["peer"], strict=True)]
        result[f"face_over_peer_{size}"] = statistics.median(ratios)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        wall_seconds(pool, 2, 20_000, 12)
        gains = [wall_seconds(pool, 1, 0, 8) / wall_seconds(pool, 2, 0, 8) for _ in range(max(rounds // 2, 1))]
    result["two_process_gain"] = statistics.median(gains)
    return result


def main() -> None:
    """Measure, print one line per figure, and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    result = measure(arguments.rounds)
    for name, value in result.items():
        print(f"{name:28s} {value:10.3f}")
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
