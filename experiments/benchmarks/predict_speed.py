"""S10: `avce predict` on a video of 1280 x 720 pixels whose faces are found already, against decoding it alone.

The detector gives the known box, so that what is measured is reading ahead, cropping, the network, tracking and the
table. Decoding alone is OpenCV's `read` to the end. Wall seconds with all cores for both, as a user has them; ratios
are medians over interleaved rounds. The network is AL for faces of 64 pixels, as `make demo` trains it; for 224 pixels
the network alone takes longer than decoding.

    python experiments/benchmarks/predict_speed.py --json predict_speed.json
"""

import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `avce predict` does, before torch is imported

import cv2
import numpy as np
import torch
from common import Row, arguments, at_least, finish, note, ratio

from avce_pl.backbone.alexnet import AlexNet
from avce_pl.backbone.heads import Regressor
from avce_pl.face.detection import Detection
from avce_pl.image.crop import Box
from avce_pl.image.film import read_film
from avce_pl.inference.model import Model
from avce_pl.inference.network import InferenceNetwork
from avce_pl.predict.command import Options, predict_sources
from avce_pl.predict.sources import find_sources
from avce_pl.runs.specification import Specification
from avce_pl.synthesis import FaceStyle, draw

SIZE = 64
SIDE = 360
FRAMES = 250


class Given:
    """Finds the face where the video has it."""

    name = "given"
    version = ""

    def __call__(self, image: np.ndarray) -> list[Detection]:
        """The same box in every frame."""
        return [Detection(Box(460, 180, SIDE, SIDE), 1.0, self.name)]


def write_video(path: Path) -> None:
    """A face on a picture that moves slowly: what a codec has to do in an interview."""
    face = draw(0, 0, 0, SIDE, FaceStyle())[1].image
    noise = np.random.default_rng(0).integers(0, 256, (90, 170, 3), np.uint8)
    room = cv2.resize(noise, (1360, 720), interpolation=cv2.INTER_CUBIC)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (1280, 720))
    for frame in range(FRAMES):
        left = 40 + round(40 * np.sin(frame / 25))
        picture = room[:, left : left + 1280].copy()
        picture[180 : 180 + SIDE, 460 : 460 + SIDE] = np.roll(face, frame % 3, axis=1)
        writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    writer.release()


def model() -> Model:
    """AL with random weights; the time does not depend on them."""
    network = InferenceNetwork(AlexNet(), Regressor(32), SIZE).eval().to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def predict(faces: np.ndarray) -> np.ndarray:
        return network(torch.from_numpy(faces)).numpy()

    return Model(Specification(SIZE, round(SIZE * 8 / 7), 0.3, ""), predict)


def decode(path: Path) -> None:
    """Decoding alone."""
    capture = cv2.VideoCapture(str(path))
    while capture.read()[0]:
        pass
    capture.release()


def decode_as_predicting_does(path: Path) -> None:
    """Decoding with the film's own times, and with damaged frames noticed."""
    for _ in read_film(path):
        pass


def measure(rounds: int) -> list[Row]:
    """All rows of the benchmark."""
    alone: list[float] = []
    films: list[float] = []
    predicting: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        video = Path(name) / "video.mp4"
        write_video(video)
        sources, network = find_sources([str(video)]), model()
        for turn in range(rounds + 1):  # the first warms up
            start = time.perf_counter()
            decode(video)
            alone.append(time.perf_counter() - start)
            start = time.perf_counter()
            decode_as_predicting_does(video)
            films.append(time.perf_counter() - start)
            start = time.perf_counter()
            predict_sources(network, sources, Path(name) / f"{turn}.csv", Options(), Given())
            predicting.append(time.perf_counter() - start)
    return [
        note("S10", "decoding a 720p video, frames a second", FRAMES / statistics.median(alone[1:])),
        note("S10", "decoding it by PyAV, share of OpenCV's speed", ratio(alone[1:], films[1:])),
        note("S10", "predicting on it with boxes given, frames a second", FRAMES / statistics.median(predicting[1:])),
        at_least("S10", "predicting, share of the speed of decoding", ratio(alone[1:], predicting[1:]), 0.5),
    ]


if __name__ == "__main__":
    options = arguments(__doc__, 7)
    finish(measure(options.rounds), options.json)
