"""Scale of a data set: an index of 1.2 million rows is opened, shuffled and checked, each in a process of its own.

The labels are Aff-Wild2's layout with 480 videos of 2,500 frames. The index is opened as a run opens it, from the
cache; memory is what a process has above what it has after all imports. The check is the one before the
frames are prepared, so it reads 480 files and looks at no image; what an image costs is measured on 500 JPEGs of 256
pixels. Linux only.

    python experiments/benchmarks/index_scale.py --json index_scale.json
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from common import Row, arguments, at_most, finish, note

from avce_pl.dataset.aff_wild2 import AffWild2DataModule
from avce_pl.dataset.check.check import check
from avce_pl.dataset.core.cache import cached
from avce_pl.dataset.core.index import BOX, FaceIndex
from avce_pl.dataset.files.image_files import examine_all
from avce_pl.synthesis.writers.base import save_image

VIDEOS = {"Train_Set": 400, "Validation_Set": 80}
FRAMES = 2_500
ROWS = FRAMES * sum(VIDEOS.values())
IMAGES = 500


def write(root: Path) -> None:
    """Labels, a table of prepared frames that are not there, and the cached index that says they are."""
    generator = np.random.default_rng(0)
    prepared = []
    for name, count in VIDEOS.items():
        folder = root / "VA_Estimation_Challenge" / name
        folder.mkdir(parents=True)
        for number in range(count):
            labels = generator.uniform(-1, 1, (FRAMES, 2)).round(3).tolist()
            lines = [f"{valence},{arousal}" for valence, arousal in labels]
            (folder / f"{name}{number:03d}.txt").write_text("\n".join(["valence,arousal", *lines]))
            frames = pd.DataFrame({"frame": range(FRAMES), "video": f"{name}{number:03d}"})
            frames["path"] = frames["video"] + "/" + frames["frame"].astype(str).str.zfill(5) + ".jpg"
            prepared.append(frames)
    (root / "prepared").mkdir()
    table = pd.concat(prepared).assign(**dict.fromkeys(BOX, 9), detector="haar")
    table.to_csv(root / "prepared" / "prepared.csv", index=False)
    data = module(root)
    index = data.read_all()

    def build(folder: Path) -> None:
        FaceIndex.build(index.table.assign(bytes=20_000), index.protocol).save(folder)
        (folder / "bad_images.csv").write_text("row,path,fault\n")

    cached(data._index_folder, build)


def module(root: Path, **options: str) -> AffWild2DataModule:
    """The data set, on a batch of 32 and without workers."""
    return AffWild2DataModule(str(root), batch_size=32, cache_dir=str(root / "cache"), **options)  # type: ignore[arg-type]


def measured(work: Callable[[], object]) -> dict[str, float]:
    """Seconds of the clock and of the CPU; megabytes above those before: that are kept, and at the most."""
    before, start, spent = memory("VmRSS"), time.perf_counter(), time.process_time()
    kept = work()
    seconds, spent = time.perf_counter() - start, time.process_time() - spent
    after, peak = memory("VmRSS"), memory("VmHWM")
    del kept
    return {"seconds": seconds, "cpu_seconds": spent, "megabytes": after - before, "peak_megabytes": peak - before}


def memory(name: str) -> float:
    """Megabytes of this process in memory (VmRSS), or the most there ever were (VmHWM)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) / 1024


def open_index(root: Path) -> dict[str, float]:
    """Opens the index."""
    data = module(root)
    opened = measured(lambda: data.faces)
    assert len(data.index) == ROWS
    return opened


def epoch(root: Path) -> dict[str, float]:
    """Asks for all batches of a training epoch, without their images."""
    data = module(root)
    data.__dict__["images"] = np.empty((0, 256, 256, 3), np.uint8)
    _ = data.faces
    batches = data.train_dataloader().sampler

    def draw() -> None:
        rows = sum(len(key.rows) for key in batches)
        assert rows == len(batches) * 32

    return measured(draw)


def check_labels(root: Path) -> dict[str, float]:
    """Checks everything but the images."""
    made: list[dict[str, object]] = []
    figures = measured(lambda: made.append(check(module(root, frames=str(root / "none")), "aff_wild2").record))
    assert made[0]["total"]["rows"] == ROWS  # type: ignore[index]
    return figures


def examine(root: Path) -> dict[str, float]:
    """Decodes images as a check does."""
    generator = np.random.default_rng(0)
    for number in range(IMAGES):
        image = generator.integers(0, 256, (32, 32, 3), np.uint8).repeat(8, 0).repeat(8, 1)
        save_image(root / "images" / f"{number}.jpg", image)
    table = pd.DataFrame({"path": [f"images/{number}.jpg" for number in range(IMAGES)]}).assign(**dict.fromkeys(BOX, 0))
    return measured(lambda: examine_all(root, table))


PARTS = {"open": open_index, "epoch": epoch, "check": check_labels, "images": examine}


def measure() -> list[Row]:
    """All rows of the benchmark."""
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        for part in PARTS:
            command = [sys.executable, __file__, "--part", part, folder]
            figures[part] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    opened, drawn, checked = figures["open"], figures["epoch"], figures["check"]
    return [
        at_most("scale", f"index of {ROWS:,} rows, opening, seconds", opened["seconds"], 2),
        at_most("scale", f"index of {ROWS:,} rows, MB above the interpreter", opened["peak_megabytes"], 300),
        note("scale", "the batches of an epoch of it, seconds", drawn["seconds"]),
        note("scale", "the batches of an epoch of it, MB at the most", drawn["peak_megabytes"]),
        note("scale", "check of its labels, seconds", checked["seconds"]),
        note("scale", "images examined a second", IMAGES / figures["images"]["seconds"]),
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--part"]:
        print(json.dumps(PARTS[sys.argv[2]](Path(sys.argv[3]))))
    else:
        given = arguments(__doc__, rounds=1)
        finish(measure(), given.json)
