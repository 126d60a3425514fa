"""S9: all metrics over 1.2 million predictions in one pass, against numpy's two passes.

numpy gets the whole arrays at once and keeps them; the streaming metric gets batches and keeps 21 numbers and at most
32 batches. Times are CPU seconds with one torch thread, medians of interleaved rounds.

    python experiments/benchmarks/metrics_speed.py --json metrics_speed.json
"""

import statistics
import time

import numpy as np
import torch
from common import Row, arguments, at_most, finish, note
from torch import Tensor

from avce_pl.metrics.valence_arousal import ValenceArousalMetrics

ROWS = 1_200_000
BATCHES = (64, 256, 4096)


def numpy_metrics(prediction: np.ndarray, target: np.ndarray) -> dict[str, np.ndarray]:
    """CCC, PCC, RMSE and SAGR, each ``(2,)``: means first, then moments about them, in float64."""
    prediction, target = prediction.astype(np.float64), target.astype(np.float64)
    mean_p, mean_t = prediction.mean(0), target.mean(0)
    deviation_p, deviation_t = prediction - mean_p, target - mean_t
    covariance = (deviation_p * deviation_t).mean(0)
    variance_p, variance_t = np.square(deviation_p).mean(0), np.square(deviation_t).mean(0)
    return {
        "ccc": 2 * covariance / (variance_p + variance_t + (mean_p - mean_t) ** 2),
        "pcc": covariance / np.sqrt(variance_p * variance_t),
        "rmse": np.sqrt(np.square(prediction - target).mean(0)),
        "sagr": (np.sign(prediction) == np.sign(target)).mean(0),
    }


def stream(prediction: Tensor, target: Tensor, batch_size: int) -> dict[str, Tensor]:
    """The same from batches."""
    metric = ValenceArousalMetrics()
    for batch in zip(prediction.split(batch_size), target.split(batch_size), strict=True):
        metric.update(*batch)
    return metric.compute()


def measure(rounds: int) -> dict[str, float]:
    """All figures of the benchmark."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(ROWS, 2, generator=generator) * 2 - 1
    prediction = 0.6 * target + 0.3 * torch.randn(ROWS, 2, generator=generator)
    seconds: dict[str, list[float]] = {"numpy": [], **{str(size): [] for size in BATCHES}}
    error = 0.0
    for _ in range(rounds):
        start = time.process_time()
        wanted = numpy_metrics(prediction.numpy(), target.numpy())
        seconds["numpy"].append(time.process_time() - start)
        for size in BATCHES:
            start = time.process_time()
            actual = stream(prediction, target, size)
            seconds[str(size)].append(time.process_time() - start)
            for name, (valence, arousal) in wanted.items():
                error = max(error, abs(float(actual[f"{name}_valence"]) - valence))
                error = max(error, abs(float(actual[f"{name}_arousal"]) - arousal))
    result = {"numpy_milliseconds": 1e3 * statistics.median(seconds["numpy"]), "largest_difference": error}
    for size in BATCHES:
        ratios = [ours / peer for ours, peer in zip(seconds[str(size)], seconds["numpy"], strict=True)]
        result[f"over_numpy_batches_of_{size}"] = statistics.median(ratios)
        result[f"update_microseconds_{size}"] = 1e6 * statistics.median(seconds[str(size)]) * size / ROWS
    return result


def rows(result: dict[str, float]) -> list[Row]:
    """The ratios and their target."""
    ratios = {int(name.rpartition("_")[2]): value for name, value in result.items() if name.startswith("over_numpy")}
    return [
        *(at_most("S9", f"time over numpy's, batches of {size}", value, 2) for size, value in ratios.items()),
        at_most("S9", "largest difference to numpy", result["largest_difference"], 1e-9),
        note("S9", "numpy, milliseconds", result["numpy_milliseconds"]),
    ]


if __name__ == "__main__":
    given = arguments(__doc__, rounds=9)
    finish(rows(measure(given.rounds)), given.json)
