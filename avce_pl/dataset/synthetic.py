"""Procedural faces as a data set: needs no download, renders in seconds, and no person is in two splits."""

import hashlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from functools import cached_property
from itertools import repeat
from multiprocessing import parent_process
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from rich.console import Console
from rich.progress import track

import avce_pl.synthesis
from avce_pl.dataset.cache import ImageArray, cached, digest, write_images
from avce_pl.dataset.datamodule import FaceDataModule, Jitter, Natural, Positive, Seed
from avce_pl.dataset.index import FaceIndex
from avce_pl.dataset.loading import Images
from avce_pl.synthesis import Face, FaceStyle, Rendered, draw
from avce_pl.synthesis.labels import LabelStyle
from avce_pl.synthesis.writers import FIRST_SUBJECT

NonNegative = Annotated[float, Field(ge=0)]


class SyntheticDataModule(FaceDataModule):
    """Faces drawn by `avce_pl.synthesis`, rendered once and kept; scores on them say nothing about real ones.

    They are rendered `resize_size` pixels wide, with a zoom at which the centre crop shows what `crop` says.

    Args:
        train_subjects: People in the training images.
        val_subjects: Other people, for validation.
        test_subjects: Yet others, for the test.
        images_per_subject: Images of each.
        population: Seed of the people and their images; another one is another data set. The run's seed does
            not change the data.
        labels: Mixture that valence and arousal come from, see `FaceStyle`, as the next five.
        level: Strength of pose, light and other nuisances, 0 to 1.
        crop: Zoom; 1.3 is hairline to chin.
        express: How strongly people show what they feel.
        au_noise: Noise on the facial action units.
        label_noise: Standard deviation of the annotator's jitter.
        image_size: See `FaceDataModule`, as the others.
    """

    def __init__(
        self,
        train_subjects: Positive = 200,
        val_subjects: Positive = 30,
        test_subjects: Positive = 60,
        images_per_subject: Positive = 20,
        population: Seed = 0,
        labels: LabelStyle = "affectnet",
        level: Annotated[float, Field(ge=0, le=1)] = 0.5,
        crop: Annotated[float, Field(gt=0)] = 1.3,
        express: NonNegative = 1.0,
        au_noise: NonNegative = 0.06,
        label_noise: NonNegative = 0.06,
        image_size: Positive = 64,
        resize_size: Positive | None = None,
        batch_size: Positive | None = None,
        num_workers: Natural = 0,
        colour_jitter: Jitter = 0.0,
        seed: Seed = 0,
        cache_dir: str = "~/.cache/avce_pl",
    ) -> None:
        super().__init__(image_size, resize_size, batch_size, num_workers, colour_jitter, seed, cache_dir)
        self.subjects = {"train": train_subjects, "val": val_subjects, "test": test_subjects}
        self.images_per_subject = images_per_subject
        self.population = population
        self.style = FaceStyle(labels, level, crop, express, au_noise, label_noise)

    def open_index(self) -> FaceIndex:
        """Opens the index, rendering the faces if that was not done yet."""
        return FaceIndex.load(self._folder)

    def open_images(self, index: FaceIndex) -> Images:
        """Maps the rendered images into memory."""
        return ImageArray(self._folder / "images.npy")

    @cached_property
    def _folder(self) -> Path:
        style = replace(self.style, crop=self.style.crop * self.image_size / self.resize_size)
        key = digest(
            self.subjects,
            self.images_per_subject,
            self.population,
            asdict(style),
            self.resize_size,
            _generator_digest(),
            cv2.__version__,  # versions differ in single pixels
        )
        return cached(self.cache_dir / f"synthetic-{key}", lambda folder: self._draw(folder, style, key))

    def _draw(self, folder: Path, style: FaceStyle, key: str) -> None:
        people = [(split, FIRST_SUBJECT[split] + n) for split, count in self.subjects.items() for n in range(count)]
        table = pd.DataFrame(
            [(split, person, index) for split, person in people for index in range(self.images_per_subject)],
            columns=["split", "subject", "index"],
        )
        labels: list[tuple[float, float, int]] = []
        landmarks: list[NDArray[np.float32]] = []

        def images() -> Iterator[NDArray[np.uint8]]:
            for face, rendered in _drawn(self.population, table, self.resize_size, style, self.images_per_subject):
                labels.append((float(face.label[0]), float(face.label[1]), face.expression))
                landmarks.append(rendered.landmarks)
                yield rendered.image

        write_images(folder / "images.npy", images(), len(table), self.resize_size)
        table["path"] = table["subject"].astype(str) + "/" + table.pop("index").astype(str)
        table[["valence", "arousal", "expression"]] = labels
        FaceIndex.build(table, "synthetic", landmarks=np.stack(landmarks), identity=key).save(folder)


def _drawn(seed: int, table: pd.DataFrame, size: int, style: FaceStyle, chunk: int) -> Iterator[tuple[Face, Rendered]]:
    """Draws the faces of a table in its order, on all cores, `chunk` (one person's) at a time, with a progress bar."""
    subjects, indices = table["subject"].tolist(), table["index"].tolist()
    with ProcessPoolExecutor(initializer=_start_worker) as pool:
        drawn = pool.map(draw, repeat(seed), subjects, indices, repeat(size), repeat(style), chunksize=chunk)
        yield from track(drawn, "Drawing faces", len(table), console=Console(stderr=True), transient=True)


def _generator_digest() -> str:
    """Hash of the source of the face generator: changing it changes the data."""
    source = hashlib.blake2b(digest_size=10)
    for path in sorted(Path(avce_pl.synthesis.__file__).parent.glob("*.py")):
        if path.stem not in ("contact_sheet", "video"):  # these draw nothing here
            source.update(path.read_bytes())
    return source.hexdigest()


def _start_worker() -> None:
    """Keeps OpenCV to one thread, and ends the process with its parent: it inherited the cache's lock."""
    cv2.setNumThreads(0)

    def follow() -> None:
        parent = parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
