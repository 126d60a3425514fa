"""S6: one face of 224 pixels through the network: eager PyTorch, the exported file, int8, and the 61M baseline.

All four get cropped faces as (N, 256, 256, 3) uint8 and cut, normalise and predict: what comes after the detector.
Times are CPU seconds with one thread, medians of interleaved rounds; ratios are medians of the rounds' ratios. The
weights of a run on 64-pixel faces serve for 224 pixels too (AL pools to 6 x 6), so a short training on procedural faces
is enough; on its own 1,200 test faces the CCC before and after int8 is taken.

    python experiments/benchmarks/inference_speed.py --json inference_speed.json
"""

import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import yaml
from common import Row, arguments, at_least, at_most, finish, interleaved, note, ratio

from avce_pl.backbone.alexnet import FullAlexNet
from avce_pl.backbone.heads import Regressor
from avce_pl.inference.export import export_onnx, quantize_int8
from avce_pl.inference.network import InferenceNetwork, load_network
from avce_pl.runs.folder import open_run
from avce_pl.synthesis import FaceStyle, draw
from avce_pl.utils.resources import ROOT

Predictor = Callable[[np.ndarray], np.ndarray]
TRAINING = ["dataset.train_subjects=60", "trainer.max_epochs=8", "logger=none", "trainer.num_threads=1"]


def train(folder: Path) -> Path:
    """A run folder of AL, trained for half a minute."""
    command = [sys.executable, str(ROOT / "run.py"), *TRAINING, f"output_root={folder}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return next(folder.rglob("metrics.json")).parent


def enlarged(run: Path, folder: Path) -> Path:
    """The run folder again, for faces of 224 pixels."""
    shutil.copytree(run, folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["dataset"] |= {"image_size": 224, "train_subjects": 4, "val_subjects": 1, "test_subjects": 2}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def eager(network: torch.nn.Module) -> Predictor:
    """PyTorch as it is."""
    network.eval()

    @torch.inference_mode()
    def predict(faces: np.ndarray) -> np.ndarray:
        return network(torch.from_numpy(faces)).numpy()

    return predict


def session(file: Path) -> Predictor:
    """The exported file, with one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    running = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda faces: running.run(None, {"faces": faces})[0]


def measure(rounds: int) -> list[Row]:
    """All rows of the benchmark."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = train(folder / "outputs")
        loss = quantize_int8(run, folder / "loss.onnx")
        large = enlarged(run, folder / "run")
        export_onnx(large, folder / "float32.onnx")
        quantize_int8(large, folder / "int8.onnx")
        baseline = FullAlexNet()
        predictors = {
            "AL, eager": eager(load_network(open_run(large))),
            "61M baseline, eager": eager(InferenceNetwork(baseline, Regressor(baseline.latent_dim, hidden=None), 224)),
            "AL, exported float32": session(folder / "float32.onnx"),
            "AL, exported int8": session(folder / "int8.onnx"),
        }
        rows, times = [], {}
        for batch in (32, 1):
            faces = np.stack([draw(0, subject, 0, 256, FaceStyle())[1].image for subject in range(batch)])
            work = {name: partial(predict, faces) for name, predict in predictors.items()}
            times = interleaved(work, rounds)
            rows += [
                note("S6", f"{name}, batch {batch}, ms a face", 1e3 * statistics.median(found) / batch)
                for name, found in times.items()
            ]
    lost = max(before - after for before, after in zip(loss.float32, loss.int8, strict=True))
    slow, slowest, exact, small = times.values()
    return [
        *rows,
        at_least("S6", "exported float32, times as fast as eager", ratio(slow, exact), 1.4),
        at_least("S6", "exported int8, times as fast as eager", ratio(slow, small), 4.5),
        at_least("S6", "exported int8, times as fast as the eager 61M baseline", ratio(slowest, small), 8),
        note("S6", "CCC before int8, mean", statistics.mean(loss.float32)),
        at_most("S6", "CCC lost in int8, the larger of valence and arousal", lost, 0.005),
    ]


if __name__ == "__main__":
    options = arguments(__doc__, 21)
    finish(measure(options.rounds), options.json)
