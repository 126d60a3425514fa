"""S4: from a JPEG to a normalised training tensor, against Pillow and torchvision's classic transforms.

The peer opens the file with Pillow, resizes to 256, crops 224, flips, converts and normalises, picture by picture. Ours
is what training does: `ImageFiles`, or the cache of decoded pictures, `FaceDataset`, and normalisation of the whole
batch, here on the CPU. Pictures are procedural faces, JPEG of quality 90, 256 (no resizing to do) and 400 pixels wide.
Times are CPU seconds a picture with one thread, medians of interleaved rounds.

    python experiments/benchmarks/data_speed.py --json data_speed.json
"""

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from common import Row, arguments, at_least, finish, interleaved, note, ratio
from PIL import Image
from torchvision import transforms

from avce_pl.dataset.core.augmentation import IMAGENET_MEAN, IMAGENET_STD, Augmentation, normalise
from avce_pl.dataset.core.batches import BatchKey
from avce_pl.dataset.core.cache import ImageArray, write_images
from avce_pl.dataset.core.index import BOX
from avce_pl.dataset.core.loading import FaceDataset, Images
from avce_pl.dataset.files.image_files import ImageFiles
from avce_pl.synthesis import FaceStyle, draw

PICTURES, JITTER = 32, 0.4
ROWS = np.arange(PICTURES)


def write_faces(folder: Path, side: int) -> pd.DataFrame:
    """Writes the pictures; the table is that of an index."""
    folder.mkdir()
    for row in ROWS:
        face = draw(0, int(row), 0, side, FaceStyle())[1].image
        cv2.imwrite(str(folder / f"{row}.jpg"), face[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    table = pd.DataFrame({"path": [f"{row}.jpg" for row in ROWS]})
    return table.assign(bytes=[(folder / path).stat().st_size for path in table["path"]], **dict.fromkeys(BOX, 0))


def peer(folder: Path, jitter: float) -> Callable[[], object]:
    """Pillow and torchvision."""
    colours = [transforms.ColorJitter(jitter, jitter, jitter, jitter / 10)] if jitter else []
    pipeline = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.RandomCrop(224),
            transforms.RandomHorizontalFlip(),
            *colours,
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    return lambda: torch.stack([pipeline(Image.open(folder / f"{row}.jpg").convert("RGB")) for row in ROWS])


def ours(images: Images, jitter: float) -> Callable[[], object]:
    """What a loader's worker and the device do."""
    labels, expressions = np.zeros((PICTURES, 2), np.float32), np.zeros(PICTURES, np.int8)
    dataset = FaceDataset(images, labels, expressions, Augmentation(224, True, jitter))
    key = BatchKey(0, ROWS, np.zeros_like(ROWS))
    return lambda: normalise(dataset[key]["image"])


def measure(rounds: int) -> list[Row]:
    """All rows of the benchmark."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for side in (256, 400):
            folder = Path(name) / str(side)
            files = ImageFiles(folder, write_faces(folder, side), 256, 0.0, folder)
            write_images(folder / "images.npy", (files[row] for row in ROWS), PICTURES, 256)
            cache = ImageArray(folder / "images.npy")
            work = {
                "peer": peer(folder, 0),
                "files": ours(files, 0),
                "cache": ours(cache, 0),
                "peer, jitter": peer(folder, JITTER),
                "files, jitter": ours(files, JITTER),
                "cache, jitter": ours(cache, JITTER),
                "decoding": lambda files=files: [cv2.imread(f"{files.root}/{path}") for path in files.paths],
            }
            seconds = interleaved(work, rounds)
            for what, target in (("files", 5), ("cache", 9)):
                figure = ratio(seconds["peer"], seconds[what])
                rows.append(
                    at_least("S4", f"{side} px, from {what}, times as fast as Pillow/torchvision", figure, target)
                )
            for what, target in (("files", 2), ("cache", 4)):
                figure = ratio(seconds["peer, jitter"], seconds[f"{what}, jitter"])
                rows.append(at_least("S4", f"{side} px, from {what}, the same with colour jitter", figure, target))
            rows.append(
                note(
                    "S4",
                    f"{side} px, decoding alone (cv2.imread), likewise",
                    ratio(seconds["peer"], seconds["decoding"]),
                )
            )
            for what in ("peer", "files", "cache"):
                milliseconds = 1e3 * statistics.median(seconds[what]) / PICTURES
                rows.append(note("S4", f"{side} px, {what}, milliseconds a picture", milliseconds))
    return rows


if __name__ == "__main__":
    given = arguments(__doc__, rounds=9)
    finish(measure(given.rounds), given.json)
