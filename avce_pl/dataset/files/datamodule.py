"""Data sets of image files: checked once before training, then decoded whenever they are needed."""

import hashlib
import json
import os
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Unpack

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from avce_pl.dataset.core.cache import ImageArray, cached, digest, write_images
from avce_pl.dataset.core.datamodule import FaceDataModule, FaceOptions, Positive
from avce_pl.dataset.core.index import BOX, FaceIndex
from avce_pl.dataset.core.loading import Images
from avce_pl.dataset.core.split_protocol import Finding, Protocol
from avce_pl.dataset.files.video_source import PREPARED_SETTINGS
from avce_pl.errors import AvceError
from avce_pl.image import crop
from avce_pl.image.crop import Box, crop_face, misplaced
from avce_pl.image.decode import decode
from avce_pl.synthesis.writers.base import PROCEDURAL
from avce_pl.utils.progress import track
from avce_pl.utils.text import enumerate_names

_AT_A_TIME = 256
_LISTED = 20


def examine(path: Path, box: tuple[int, int, int, int] = (0, 0, 0, 0)) -> tuple[int, str]:
    """Size of an image file in bytes, and what is wrong with it: "" when it can be trained on.

    The whole image is decoded, by the decoder that training uses: a header is intact in exactly the file that a broken
    copy leaves behind.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return -1, "missing"
    except (OSError, ValueError):
        return -1, "cannot be opened"
    if not data:
        return 0, "empty"
    image = decode(np.frombuffer(data, np.uint8))
    # A JPEG that ends in zeros decodes, but has no end marker after its last start of a scan.
    if image is None or (data.startswith(b"\xff\xd8") and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")):
        return len(data), "damaged or not an image"
    face = _face(box)
    return len(data), misplaced(face, *image.shape[:2]) if face else ""


def examine_all(root: Path, table: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
    """`examine` for every row of an index, in threads and with a progress bar: sizes and faults."""
    found: list[tuple[int, str]] = []
    starts = range(0, len(table), _AT_A_TIME)
    with ThreadPoolExecutor() as pool:
        for start in track(starts, "Checking images", len(starts)):
            part = table.iloc[start : start + _AT_A_TIME]
            paths = [root / path for path in part["path"]]
            found += pool.map(examine, paths, part[BOX].itertuples(index=False, name=None))
    sizes, faults = zip(*found, strict=True) if found else ((), ())
    return np.array(sizes, np.int64), np.array(faults, np.str_)


class ImageFiles:
    """The images of an index, read, cropped and resized each time they are asked for.

    Whatever their size and mode, they come as (side, side, 3) uint8 RGB, turned as their EXIF data says, and cut out
    by `crop_face`.

    Raises:
        AvceError: a file is not what it was when it was checked; on access.
    """

    def __init__(self, root: Path, table: pd.DataFrame, side: int, margin: float, checked: Path) -> None:
        self.root = root
        self.paths = table["path"].array
        self.sizes = table["bytes"].to_numpy(np.int64)
        self.boxes = table[BOX].to_numpy(np.int32)
        self.side = side
        self.margin = margin
        self.checked = checked

    def __len__(self) -> int:
        return len(self.paths)

    def state(self) -> str:
        """Hash of when every file was last changed, so that what was made of them is not used for others."""
        hashed = hashlib.blake2b(digest_size=10)
        for path in self.paths:
            try:
                changed = os.stat(f"{self.root}/{path}").st_mtime_ns
            except OSError:
                changed = -1
            hashed.update(changed.to_bytes(8, "little", signed=True))
        return hashed.hexdigest()

    def __getitem__(self, row: int) -> NDArray[np.uint8]:
        path = self.root / self.paths[row]
        try:
            data = np.fromfile(path, np.uint8)
        except OSError:
            data = np.empty(0, np.uint8)
        image = decode(data) if data.size == self.sizes[row] else None
        if image is None:
            raise AvceError(
                f"{path} cannot be read or has changed since the images were checked. Repair it, delete "
                f"{self.checked} so that all images are checked anew, and start again."
            )
        return crop_face(image, _face(self.boxes[row].tolist()), self.side, self.margin)


@dataclass(frozen=True)
class Reading:
    """What a reader makes of the labels.

    Attributes:
        index: The rows that could be read.
        problems: What is wrong with the others; nothing is trained on while there is anything.
        places: Why rows were left out (`FaceIndex.dropped`) -> where the first of them are.
    """

    index: FaceIndex
    problems: Sequence[Finding] = ()
    places: Mapping[str, str] = field(default_factory=dict)


class FileOptions(FaceOptions, total=False):
    """The options that all data sets of image files share; see `FileDataModule`."""

    on_bad_image: Literal["error", "skip"]
    cache_images: bool
    margin: Annotated[float, Field(ge=0)]


class VideoOptions(FileOptions, total=False):
    """`FileOptions`, and those of data sets of videos."""

    stride: Positive
    frames_per_video: Positive | None


class FileDataModule(FaceDataModule):
    """Faces in image files under a root folder; a reader adds `protocols`, `annotations`, `settings` and `read`.

    Args:
        root: Folder of the data set.
        protocol: Name of one of the reader's `protocols`.
        on_bad_image: What to do about images that are missing or broken: "error" stops before training with
            the list; "skip" goes on without them and puts the number on record.
        cache_images: Keep all images decoded and resized in the cache: `resize_size`^2 * 3 bytes each, shared
            by all runs and made anew when labels or images change; worth it when decoding, not the network, takes
            the time.
        margin: Share by which the crop exceeds a face's box, where the data set has boxes.
        stride: Every how many-th frame of a video is trained on; evaluation sees all.
        frames_per_video: Most frames of a video that are trained on, evenly spaced; ``None`` for all.
        options: See `FaceDataModule`; `num_workers` is 2 if it is not given.
    """

    protocols: ClassVar[Mapping[str, Protocol]]
    """The ways to choose and split the rows, by name."""
    request: ClassVar[str] = ""
    """Who gives the data set away, for the message that it is not there; "" for one's own."""

    def __init__(
        self,
        root: str | None,
        protocol: str,
        on_bad_image: Literal["error", "skip"] = "error",
        cache_images: bool = False,
        margin: Annotated[float, Field(ge=0)] = 0.0,
        stride: Positive = 1,
        frames_per_video: Positive | None = None,
        **options: Unpack[FaceOptions],
    ) -> None:
        options.setdefault("num_workers", 2)
        super().__init__(**options)
        if root is None:
            raise self._without_data("This data set is a folder of your own; say where it is with root=FOLDER.")
        self.root = Path(root).expanduser()
        self.protocol = protocol
        self.margin = margin
        self.stride = stride
        self.frames_per_video = frames_per_video
        self.on_bad_image = on_bad_image
        self.cache_images = cache_images
        self._bad_images: dict[str, int] = {}

    @property
    def image_root(self) -> Path:
        """The folder that the paths of the index start from."""
        return self.root

    @abstractmethod
    def annotations(self) -> list[Path]:
        """The files that hold the labels; raises `AvceError` if they are not there."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The reader's own options, as far as they decide what is in the index; JSON-able."""

    @abstractmethod
    def read(self) -> Reading:
        """Reads the annotations. Whether the images are there is not its business.

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
        """What the reader notices about the layout beside the rows; for `avce data check`."""
        return []

    @property
    def unprepared(self) -> str:
        """Why there are no images yet, and what to do about it; "" if there are."""
        return ""

    def missing(self, wanted: str) -> AvceError:
        """The error that the data set, or a part of it, is not where it was looked for.

        Args:
            wanted: What was looked for, such as "a folder VA_Estimation_Challenge or VA_Set".
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
        """Opens the checked index, building it when the annotations are new or changed.

        Images found bad are looked at again every time, so one that was repaired is back without further ado.
        """
        folder = cached(self._index_folder, self._build_index)
        index = FaceIndex.load(folder)
        bad = pd.read_csv(folder / "bad_images.csv")
        if bad.empty:
            return self.thinned(index)
        rows = bad["row"].to_numpy()
        table = index.table.copy()
        sizes, faults = examine_all(self.image_root, table.iloc[rows])
        table.loc[rows, "bytes"] = sizes
        rows, faults = rows[faults != ""], faults[faults != ""]
        if len(rows) and self.on_bad_image == "error":
            raise AvceError(self._complaint(table["path"].iloc[rows], faults, folder / "bad_images.csv"))
        keep = np.ones(len(table), bool)
        keep[rows] = False
        self._bad_images = dict(Counter(faults.tolist()))
        return self.thinned(replace(index, table=table).select(keep))

    def thinned(self, index: FaceIndex) -> FaceIndex:
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
        """What was read, after a look at every image.

        Returns:
            The index with `bytes`; each row's fault, "" for none; and listed path -> path in the index, of the images
            whose names differ in upper and lower case from what is listed.
        """
        table = index.table
        sizes, faults = examine_all(self.image_root, table)
        renamed = _other_case(self.image_root, table["path"][faults == "missing"])
        names = {table["path"][row]: path for row, path in renamed.items()}
        if renamed:
            rows = list(renamed)
            table = table.assign(path=table["path"].where(~table.index.isin(rows), pd.Series(renamed)))
            sizes[rows], faults[rows] = examine_all(self.image_root, table.iloc[rows])
        table = table.assign(bytes=sizes)
        index = FaceIndex.build(table, index.protocol, index.dropped, index.landmarks, index.identity)
        return index, faults, names

    def open_images(self, index: FaceIndex) -> Images:
        """The files, or all of them decoded, under `cache_images`."""
        files = ImageFiles(self.image_root, index.table, self.resize_size, self.margin, self._index_folder)
        if not self.cache_images:
            return files

        def build(folder: Path) -> None:
            write_images(folder / "images.npy", _decoded(files), len(files), self.resize_size)

        how = Path(crop.__file__).read_text(encoding="utf-8")  # another way to cut is another picture
        key = digest(index.fingerprint, files.state(), self.margin, self.resize_size, how, cv2.__version__)
        return ImageArray(cached(self.cache_dir / f"images-{key}", build) / "images.npy")

    def describe(self) -> dict[str, Any]:
        """Also whether the faces are procedural, where `PROCEDURAL` says so."""
        procedural = {"procedural": True} if (self.root / PROCEDURAL).exists() else {}
        return super().describe() | procedural

    @property
    def bad_images(self) -> dict[str, int]:
        """Images that were skipped: reason -> number."""
        _ = self.faces
        return self._bad_images

    @property
    def crop_margin(self) -> float | None:
        """`margin` where there are boxes; else that of ``avce data prepare``, if it made the images."""
        if self.index["box_width"].any():
            return self.margin
        try:
            return float(json.loads((self.image_root / PREPARED_SETTINGS).read_text())["margin"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @property
    def _index_folder(self) -> Path:
        files = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in self.annotations()]
        key = digest(type(self).__name__, str(self.root.resolve()), self.protocol, self.settings(), files)
        return self.cache_dir / f"index-{key}"

    def _build_index(self, folder: Path) -> None:
        index, faults, _ = self.examined(self.read_all())
        index.save(folder)
        bad = pd.DataFrame({"row": np.arange(len(faults)), "path": index.table["path"], "fault": faults})
        bad[faults != ""].to_csv(folder / "bad_images.csv", index=False)

    def _complaint(self, paths: "pd.Series[str]", faults: NDArray[np.str_], listed: Path) -> str:
        lines = [f"  {path}: {fault}" for path, fault in zip(paths, faults, strict=True)]
        more = f"\n  and {len(lines) - _LISTED} more, all in {listed}" if len(lines) > _LISTED else ""
        return (
            f"{len(lines)} images under {self.image_root} cannot be used:\n" + "\n".join(lines[:_LISTED]) + f"{more}\n"
            "Repair them or take them out of the list, or go on without them with dataset.on_bad_image=skip."
        )


def wrong_labels(root: Path, problems: Sequence[Finding]) -> AvceError:
    """The error that labels are not what they should be."""
    lines = [f"  {problem.where}: {problem.detail}" for problem in problems]
    more = f"\n  and {len(lines) - _LISTED} more" if len(lines) > _LISTED else ""
    return AvceError(
        f"The labels in {root} are not what they should be:\n" + "\n".join(lines[:_LISTED]) + f"{more}\n"
        "Put these files right or aside, or unpack them again."
    )


def _face(box: Sequence[int]) -> Box | None:
    return Box(*box) if box[2] else None


def _other_case(root: Path, paths: "pd.Series[str]") -> dict[int, str]:
    """Row -> path of the one file whose name differs only in case, for rows whose file is missing."""
    listings: dict[str, dict[str, list[str]]] = {}
    found = {}
    for row, path in paths.items():
        folder, _, name = path.rpartition("/")
        if folder not in listings:
            listings[folder] = {}
            if (root / folder).is_dir():
                for other in os.listdir(root / folder):
                    listings[folder].setdefault(other.casefold(), []).append(other)
        if len(names := listings[folder].get(name.casefold(), [])) == 1:
            found[int(str(row))] = f"{folder}/{names[0]}".lstrip("/")
    return found


def _decoded(files: ImageFiles) -> Iterator[NDArray[np.uint8]]:
    starts = range(0, len(files), _AT_A_TIME)
    with ThreadPoolExecutor() as pool:
        for start in track(starts, "Decoding images", len(starts)):
            yield from pool.map(files.__getitem__, range(start, min(start + _AT_A_TIME, len(files))))
