"""Procedural faces as a data set: needs no download, renders in seconds, and no person is in two splits."""

import hashlib
import os
import signal
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Unpack

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

import avce_pl.synthesis
from avce_pl.dataset.core.cache import ImageArray, cached, digest, write_images
from avce_pl.dataset.core.datamodule import FaceDataModule, FaceOptions, Positive, Seed
from avce_pl.dataset.core.index import LABELS, FaceIndex
from avce_pl.dataset.core.loading import Images
from avce_pl.dataset.core.task import Task
from avce_pl.synthesis import Face, FaceStyle, Rendered, render, sample_face
from avce_pl.synthesis.labels import LabelStyle
from avce_pl.synthesis.writers import FIRST_SUBJECT
from avce_pl.utils.processes import end_with_parent
from avce_pl.utils.progress import track

NonNegative = Annotated[float, Field(ge=0)]


@dataclass(frozen=True)
class People:
    """Who is drawn, and how; small enough to send to other processes.

    Attributes:
        population: Seed of the people and their faces.
        faces: Number of faces of each person.
        style: What the faces look like.
    """

    population: int
    faces: int
    style: FaceStyle

    @abstractmethod
    def sample(self, subject: int) -> list[Face]:
        """All faces of one person."""

    @abstractmethod
    def columns(self, subject: int) -> dict[str, Any]:
        """Columns of the index for them, beside split, labels, expression and path."""


class ProceduralDataModule(FaceDataModule):
    """Faces drawn by `avce_pl.synthesis`, rendered once and kept; scores on them say nothing about real ones.

    They are rendered `resize_size` pixels wide, with a zoom at which the centre crop shows what the style says.

    Args:
        subjects: Number of people in each split; nobody is in two.
        people: Who is drawn.
        options: See `FaceDataModule`; `image_size` is 64 if it is not given.
    """

    protocol: ClassVar[str]

    def __init__(self, subjects: Mapping[str, int], people: People, **options: Unpack[FaceOptions]) -> None:
        options.setdefault("image_size", 64)
        super().__init__(**options)
        self.subjects = subjects
        self.people = people

    def open_index(self) -> FaceIndex:
        """Opens the index, rendering the faces if that was not done yet."""
        return FaceIndex.load(self._folder)

    def open_images(self, index: FaceIndex) -> Images:
        """Maps the rendered images into memory."""
        return ImageArray(self._folder / "images.npy")

    def describe(self) -> dict[str, Any]:
        """Also that the faces are procedural."""
        return super().describe() | {"procedural": True}

    @cached_property
    def _folder(self) -> Path:
        style = self.people.style
        zoomed = replace(style, crop=style.crop * self.image_size / self.resize_size)
        people = replace(self.people, style=zoomed)
        key = digest(
            self.subjects,
            asdict(people),
            self.resize_size,
            _generator_digest(),
            cv2.__version__,  # versions differ in single pixels
        )
        return cached(self.cache_dir / f"{self.protocol}-{key}", lambda folder: self._draw(folder, people, key))

    def _draw(self, folder: Path, people: People, key: str) -> None:
        """Draws everybody on all cores, with a progress bar; writes images and index."""
        subjects = [(split, FIRST_SUBJECT[split] + n) for split, count in self.subjects.items() for n in range(count)]
        tables: list[pd.DataFrame] = []
        landmarks: list[NDArray[np.float32]] = []

        def images() -> Iterator[NDArray[np.uint8]]:
            with ProcessPoolExecutor(initializer=_start_worker, initargs=(os.getpid(),)) as pool:
                drawn = pool.map(partial(_draw_person, people, self.resize_size), [subject for _, subject in subjects])
                shown = track(drawn, "Drawing faces", len(subjects))
                for (split, subject), faces in zip(subjects, shown, strict=True):
                    labels = [(*face.label.tolist(), face.expression) for face, _ in faces]
                    paths = [f"{subject}/{number}" for number in range(len(faces))]
                    table = pd.DataFrame(labels, columns=[*LABELS, "expression"])
                    tables.append(table.assign(path=paths, split=split, **people.columns(subject)))
                    landmarks.extend(rendered.landmarks for _, rendered in faces)
                    yield from (rendered.image for _, rendered in faces)

        write_images(folder / "images.npy", images(), len(subjects) * people.faces, self.resize_size)
        table = pd.concat(tables, ignore_index=True)
        FaceIndex.build(table, self.protocol, landmarks=np.stack(landmarks), identity=key).save(folder)


class Stills(People):
    """Pictures that have nothing to do with each other."""

    def sample(self, subject: int) -> list[Face]:
        """All faces of one person."""
        return [sample_face(self.population, subject, number, self.style) for number in range(self.faces)]

    def columns(self, subject: int) -> dict[str, Any]:
        """The subject."""
        return {"subject": subject}


class SyntheticDataModule(ProceduralDataModule):
    """Procedural pictures of people, see `ProceduralDataModule`.

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
        task: What is learnt: "valence_arousal", or the seven classes of "expression".
        options: See `ProceduralDataModule`.
    """

    protocol = "synthetic"

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
        task: Task = "valence_arousal",
        **options: Unpack[FaceOptions],
    ) -> None:
        subjects = {"train": train_subjects, "val": val_subjects, "test": test_subjects}
        style = FaceStyle(labels, level, crop, express, au_noise, label_noise)
        super().__init__(subjects, Stills(population, images_per_subject, style), **options)
        self.task = task


def _draw_person(people: People, size: int, subject: int) -> list[tuple[Face, Rendered]]:
    return [(face, render(face, size)) for face in people.sample(subject)]


def _generator_digest() -> str:
    """Hash of the source of the face generator: changing it changes the data."""
    source = hashlib.blake2b(digest_size=10)
    for path in sorted(Path(avce_pl.synthesis.__file__).parent.glob("*.py")):
        if path.stem != "contact_sheet":  # it draws nothing here
            source.update(path.read_bytes())
    return source.hexdigest()


def _start_worker(parent: int) -> None:
    """Keeps OpenCV to one thread, and ends the process with its parent: it inherited the cache's lock."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
    cv2.setNumThreads(0)
    end_with_parent(parent)
