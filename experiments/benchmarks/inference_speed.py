"""S6: one face of 224 pixels through the network: eager PyTorch, the exported file, int8, and the 61M baseline.

All four get cropped faces as (N, 256, 256, 3) uint8 and cut, normalise and predict: what comes after the detector.
Times are CPU seconds with one thread, medians of interleaved rounds; ratios are medians of the rounds' ratios. The
weights of a run on 64-pixel faces serve for 224 pixels too (AL pools to 6 x 6), so a short training on procedural faces
is enough; on its own 1,200 test faces the CCC before and after int8 is taken.

    python experiments/benchmarks/inference_speed.py --json inference_speed.json
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import yaml

from avce_pl.backbone.alexnet import FullAlexNet
from avce_pl.export import QuantizationLoss, export_onnx, quantize_int8
from avce_pl.heads import Regressor
from avce_pl.predict.run_folder import InferenceNetwork, open_run
from avce_pl.resources import ROOT
from avce_pl.synthesis import FaceStyle, draw

Predictor = Callable[[np.ndarray], np.ndarray]
TRAINING = ["dataset.train_subjects=60", "trainer.max_epochs=8", "logger=none", "trainer.num_threads=1"]
TARGETS = {
    "exported float32, times as fast as eager": 1.4,
    "int8, times as fast as eager": 4.5,
    "int8, times as fast as the eager 61M baseline": 8.0,
    "CCC lost in int8, the larger of valence and arousal": 0.005,
}


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


def milliseconds(predictors: dict[str, Predictor], batch: int, rounds: int) -> dict[str, list[float]]:
    """CPU time per face and round."""
    faces = np.stack([draw(0, subject, 0, 256, FaceStyle())[1].image for subject in range(batch)])
    found: dict[str, list[float]] = {name: [] for name in predictors}
    for turn in range(rounds + 2):
        for name, predict in predictors.items():
            start = time.process_time()
            predict(faces)
            if turn > 1:
                found[name].append(1e3 * (time.process_time() - start) / batch)
    return found


def measure(run: Path | None, rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Milliseconds a face, and what `TARGETS` names."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        loss = quantize_int8(run := run or train(folder / "outputs"), folder / "loss.onnx")
        large = enlarged(run, folder / "run")
        export_onnx(large, folder / "float32.onnx")
        quantize_int8(large, folder / "int8.onnx")
        baseline = FullAlexNet()
        predictors = {
            "eager AL": eager(open_run(large).network()),
            "eager 61M baseline": eager(InferenceNetwork(baseline, Regressor(baseline.latent_dim, hidden=None), 224)),
            "exported float32": session(folder / "float32.onnx"),
            "exported int8": session(folder / "int8.onnx"),
        }
        times = {batch: milliseconds(predictors, batch, rounds) for batch in (1, 32)}
    single = times[1]

    def ratio(slow: str, fast: str) -> float:
        return statistics.median(a / b for a, b in zip(single[slow], single[fast], strict=True))

    values = (
        ratio("eager AL", "exported float32"),
        ratio("eager AL", "exported int8"),
        ratio("eager 61M baseline", "exported int8"),
        lost(loss),
    )
    return {
        f"{name}, batch {batch}": statistics.median(values)
        for batch, found in times.items()
        for name, values in found.items()
    }, dict(zip(TARGETS, values, strict=True))


def lost(loss: QuantizationLoss) -> float:
    """The larger loss of the two dimensions."""
    print("CCC (valence, arousal):", *(f"{value:.4f}" for value in (*loss.float32, *loss.int8)))
    return max(before - after for before, after in zip(loss.float32, loss.int8, strict=True))


def main() -> None:
    """Measure, print a table, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--run", type=Path, help="a finished run of AL whose weights to take; trained here if not given"
    )
    parser.add_argument("--rounds", type=int, default=41)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    times, figures = measure(arguments.run, arguments.rounds)
    for name, value in times.items():
        print(f"{name:54s} {value:8.2f} ms")
    rows = []
    for name, value in figures.items():
        target = TARGETS[name]
        least = not name.startswith("CCC")
        met = value >= target if least else value < target
        rows.append(
            {
                "id": "S6",
                "what": name,
                "target": f"{'≥' if least else '<'} {target}",
                "measured": round(value, 4),
                "met": met,
            }
        )
        print(f"{name:54s} {value:8.4f}   {rows[-1]['target']:8s} {'met' if met else 'NOT MET'}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
