"""Data sets of image files: checked once before training, then decoded whenever they are needed."""

import json
import logging
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Unpack

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from avce_pl.dataset.core.cache import ImageArray, cached, digest, write_images
from avce_pl.dataset.core.datamodule import FaceDataModule, FaceOptions, Positive
from avce_pl.dataset.core.index import FaceIndex
from avce_pl.dataset.core.label_notes import label_notes
from avce_pl.dataset.core.loading import Images
from avce_pl.dataset.core.split_protocol import Finding, Protocol
from avce_pl.dataset.files.image_files import ImageFiles, decode_all, examine_all, narrow_pictures
from avce_pl.dataset.files.messages import unusable_images, wrong_labels
from avce_pl.dataset.files.other_names import other_names
from avce_pl.dataset.files.reading import Reading
from avce_pl.dataset.files.video_source import PREPARED_SETTINGS
from avce_pl.errors import AvceError
from avce_pl.image import crop
from avce_pl.synthesis.writers.base import PROCEDURAL
from avce_pl.utils.text import enumerate_names

log = logging.getLogger(__name__)

_PICTURES = 100  # looked at for notes
_PICTURE_SIDE = 64


class FileOptions(FaceOptions, total=False):
    """The options that all data sets of image files share; see `FileDataModule`."""

    on_bad_image: Literal["error", "skip"]
    on_bad_label: Literal["error", "skip"]
    cache_images: bool
    margin: Annotated[float, Field(ge=0)]


class VideoOptions(FileOptions, total=False):
    """`FileOptions`, and those of data sets of videos."""

    stride: Positive
    frames_per_video: Positive | None


class FileDataModule(FaceDataModule):
    """Faces in image files under a root folder.

    A reader adds `protocols`, `annotations` and `read`, and `settings` where it has options of its own.

    Args:
        root: Folder of the data set.
        protocol: Name of one of the reader's `protocols`.
        on_bad_image: What to do about missing and broken images: "error" stops before training and lists them;
            "skip" trains without them and records their number.
        on_bad_label: The same for labels that cannot be read or are out of range; of a video, its whole sequence is
            skipped.
        cache_images: Keep all images decoded and resized in the cache: `resize_size`^2 * 3 bytes each, shared by all
            runs and made again when labels or images change; useful where decoding takes longer than the network.
        margin: Share by which the crop exceeds a face's box, where the data set has boxes.
        stride: Every how many-th frame of a video is trained on; evaluation sees all.
        frames_per_video: Most frames of a video that are trained on, evenly spaced; ``None`` for all.
        options: See `FaceDataModule`; `num_workers` is 2 if it is not given.
    """

    protocols: ClassVar[Mapping[str, Protocol]]
    """The ways to choose and split the rows, by name."""
    request: ClassVar[str] = ""
    """Who gives the data set to whom, for the message that it is missing; "" for the user's own data."""

    def __init__(
        self,
        root: str | None,
        protocol: str,
        on_bad_image: Literal["error", "skip"] = "error",
        on_bad_label: Literal["error", "skip"] = "error",
        cache_images: bool = False,
        margin: Annotated[float, Field(ge=0)] = 0.0,
        stride: Positive = 1,
        frames_per_video: Positive | None = None,
        **options: Unpack[FaceOptions],
    ) -> None:
        options.setdefault("num_workers", 2)
        super().__init__(**options)
        if root is None:
            raise self._without_data("This data set is read from a folder; set root=FOLDER.")
        self.root = Path(root).expanduser()
        self.protocol = protocol
        self.margin = margin
        self.stride = stride
        self.frames_per_video = frames_per_video
        self.on_bad_image = on_bad_image
        self.on_bad_label = on_bad_label
        self.cache_images = cache_images
        self._bad_images: dict[str, int] = {}

    @property
    def image_root(self) -> Path:
        """The folder that the paths of the index start from."""
        return self.root

    @abstractmethod
    def annotations(self) -> list[Path]:
        """The files that hold the labels; raises `AvceError` if they are not there."""

    def settings(self) -> dict[str, Any]:
        """The reader's own options that the index depends on; JSON-able."""
        return {}

    @abstractmethod
    def read(self) -> Reading:
        """Reads the annotations. Does not check that the image files exist.

        Raises:
            AvceError: nothing can be read.
        """

    def read_all(self) -> FaceIndex:
        """Reads the annotations.

        Raises:
            AvceError: something is wrong with them; the text lists it.
        """
        reading = self.read()
        if reading.problems:
            raise wrong_labels(self.root, reading.problems)
        return reading.index

    def findings(self) -> list[Finding]:
        """Findings about the layout, in addition to the problems of single rows; for `avce data check`."""
        return []

    @property
    def unprepared(self) -> str:
        """Why there are no images yet, and the command that makes them; "" if there are."""
        return ""

    def missing(self, wanted: str) -> AvceError:
        """The error that the data set, or a part of it, is missing.

        Args:
            wanted: What was expected, such as "a folder VA_Estimation_Challenge or VA_Set".
        """
        place = self.root.absolute()
        if not self.root.is_dir():
            text = f"There is no folder {place}; set root=FOLDER to the folder that holds {wanted}."
        else:
            there = enumerate_names(sorted(path.name for path in self.root.iterdir()))
            text = f"{place} does not hold {wanted}. It holds {there}."
        return self._without_data(text)

    def _without_data(self, text: str) -> AvceError:
        return AvceError(f"{text} {self.request}".strip())

    def open_index(self) -> FaceIndex:
        """Opens the checked index; builds it when the annotations are new or have changed.

        Images that were bad are examined again every time, so a repaired one is used at once.
        """
        folder = cached(self._index_folder, self._build_index)
        index = FaceIndex.load(folder)
        bad = pd.read_csv(folder / "bad_images.csv")
        if bad.empty:
            return self.subsample(index)
        rows = bad["row"].to_numpy()
        table = index.table.copy()
        sizes, faults = examine_all(self.image_root, table.iloc[rows])
        table.loc[rows, "bytes"] = sizes
        rows, faults = rows[faults != ""], faults[faults != ""]
        if len(rows) and self.on_bad_image == "error":
            listed = zip(table["path"].iloc[rows], faults, strict=True)
            raise unusable_images(self.image_root, listed, folder / "bad_images.csv")
        keep = np.ones(len(table), bool)
        keep[rows] = False
        self._bad_images = dict(Counter(faults.tolist()))
        return self.subsample(replace(index, table=table).select(keep))

    def subsample(self, index: FaceIndex) -> FaceIndex:
        """The index with `stride` and `frames_per_video` applied to the videos of the training split."""
        if self.stride == 1 and self.frames_per_video is None:
            return index
        table = index.table
        videos = table[(table["split"] == "train") & (table["video"] != "")].groupby("video", observed=True, sort=False)
        keep = np.ones(len(table), bool)
        for rows in videos.groups.values():
            order = np.asarray(rows)[np.argsort(table["frame"].to_numpy()[rows], kind="stable")]
            chosen = order[:: self.stride]
            if self.frames_per_video is not None and len(chosen) > self.frames_per_video:
                chosen = chosen[np.linspace(0, len(chosen) - 1, self.frames_per_video).round().astype(int)]
            keep[order] = False
            keep[chosen] = True
        return index.select(keep)

    def examined(self, index: FaceIndex) -> tuple[FaceIndex, NDArray[np.str_], dict[str, str]]:
        """Examines every image of an index.

        Returns:
            The index with `bytes`; each row's fault, "" for none; and listed path -> path in the index, for the files
            that have another name, see `other_names`.
        """
        table = index.table
        sizes, faults = examine_all(self.image_root, table)
        renamed = other_names(self.image_root, table["path"][faults == "missing"])
        if renamed:
            listed = set(table["path"])  # such a file is that of another row
            renamed = {row: path for row, path in renamed.items() if path not in listed}
        names = {table["path"][row]: path for row, path in renamed.items()}
        if renamed:
            rows = list(renamed)
            table = table.assign(path=table["path"].where(~table.index.isin(rows), pd.Series(renamed)))
            sizes[rows], faults[rows] = examine_all(self.image_root, table.iloc[rows])
        table = table.assign(bytes=sizes)
        index = FaceIndex.build(table, index.protocol, index.dropped, index.landmarks, index.identity)
        return index, faults, names

    def open_images(self, index: FaceIndex) -> Images:
        """The files, or all of them decoded under `cache_images`."""
        files = ImageFiles(self.image_root, index.table, self.resize_size, self.margin, self._index_folder)
        if not self.cache_images:
            return files

        def build(folder: Path) -> None:
            write_images(folder / "images.npy", decode_all(files), len(files), self.resize_size)

        how = Path(crop.__file__).read_text(encoding="utf-8")  # another way to crop gives other images
        key = digest(index.fingerprint, files.state(), self.margin, self.resize_size, how, cv2.__version__)
        return ImageArray(cached(self.cache_dir / f"images-{key}", build) / "images.npy")

    def describe(self) -> dict[str, Any]:
        """Also `procedural`, where the file `PROCEDURAL` marks the faces as drawn."""
        procedural = {"procedural": True} if (self.root / PROCEDURAL).exists() else {}
        return super().describe() | procedural

    @property
    def bad_images(self) -> dict[str, int]:
        """Images that were skipped: reason -> number."""
        _ = self.faces
        return self._bad_images

    @property
    def crop_margin(self) -> float | None:
        """`margin` where there are boxes; otherwise that of ``avce data prepare``, if it made the images."""
        if self.index["box_width"].any():
            return self.margin
        try:
            return float(json.loads((self.image_root / PREPARED_SETTINGS).read_text())["margin"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @property
    def _index_folder(self) -> Path:
        files = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in self.annotations()]
        kind = type(self).__name__
        key = digest(kind, str(self.root.resolve()), self.protocol, self.settings(), self.on_bad_label, files)
        return self.cache_dir / f"index-{key}"

    def notes(self, index: FaceIndex, faults: NDArray[np.str_]) -> list[Finding]:
        """What is plausible but probably not meant: of the labels, and of some pictures.

        Args:
            index: All rows, as `examined` gives them.
            faults: (N,) each row's fault, "" for none.
        """
        usable = np.flatnonzero(faults == "")
        rows = np.random.default_rng(0).permutation(usable)[:_PICTURES]
        files = ImageFiles(self.image_root, index.table, _PICTURE_SIDE, self.margin, self.cache_dir)
        return [*label_notes(index.table), *narrow_pictures(files, rows.tolist())]

    def _build_index(self, folder: Path) -> None:
        reading = self.read()
        index, faults, _ = self.examined(reading.index)
        if reading.problems and self.on_bad_label == "error":
            listed = zip(index.table["path"], faults.tolist(), strict=True)
            raise wrong_labels(self.root, reading.problems, [f"{path}: {fault}" for path, fault in listed if fault])
        skipped = Counter[str]()
        for problem in reading.problems:
            skipped[f"wrong label: {problem.kind}"] += problem.rows
        index = replace(index, dropped={**index.dropped, **skipped})
        for note in self.notes(index, faults):
            log.warning("%s: %s", self.root, note.detail)
        index.save(folder)
        bad = pd.DataFrame({"row": np.arange(len(faults)), "path": index.table["path"], "fault": faults})
        bad[faults != ""].to_csv(folder / "bad_images.csv", index=False)
