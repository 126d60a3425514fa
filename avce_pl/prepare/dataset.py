"""What can be prepared: the videos of a data set, the images of CSV lists, video files."""

import csv
import glob
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from avce_pl.dataset.files.csv_table import Table, read_cells
from avce_pl.dataset.files.video_source import VideoReader, VideoSource
from avce_pl.errors import AvceError
from avce_pl.prepare.pipeline import prepare
from avce_pl.prepare.record import FRAMES, Prepared, PrepareSettings
from avce_pl.utils.files import atomic_write, find_paths

if TYPE_CHECKING:
    from avce_pl.dataset.csv import CsvDataModule  # imported late below: it imports torch, which videos do not need

_PORTION = 500


def video_sources(patterns: Sequence[str]) -> list[VideoSource]:
    """Video files, by path or by pattern such as ``clips/*.mp4``.

    Raises:
        AvceError: nothing matches.
    """
    paths: list[Path] = []
    for pattern in patterns:
        matches = find_paths(pattern)
        if not matches and glob.has_magic(pattern):
            raise AvceError(f"--video {pattern} matches no file.")
        paths += matches or [Path(pattern)]  # a missing video has a row that says so
    return [VideoSource(path.stem, path, None) for path in dict.fromkeys(paths)]


def prepare_dataset(
    layout: str | None, root: Path | None, videos: Sequence[str], out: Path | None, settings: PrepareSettings, jobs: int
) -> Prepared:
    """Prepares a data set or video files; see `prepare`.

    Args:
        layout: An option of the group ``dataset`` whose reader has videos, or the CSV lists of `CsvDataModule`. The
            lists are written again with the paths of the crops, without the images that have no face. ``None`` for
            `videos`.
        root: Folder of the data set.
        videos: See `video_sources`.
        out: See `prepare`; ``None`` is ``prepared`` in the root, where the readers look, or in the working folder.
        settings: See `prepare`.
        jobs: See `prepare`.

    Raises:
        AvceError: see `prepare`; there is no such data set, or it has neither videos nor lists.
    """
    if (layout is None) == (not videos):
        raise AvceError(f"Say what to prepare: either a data set ({_layouts()}) with --root FOLDER, or --video FILE.")
    out = out or (root.expanduser() if root else Path()) / "prepared"
    if layout is None:
        return prepare(video_sources(videos), out, settings, jobs)
    if root is None:
        raise AvceError(f"Say where {layout} is: --root FOLDER.")
    from avce_pl.config.open_dataset import open_dataset
    from avce_pl.dataset.csv import CsvDataModule

    data = open_dataset(layout, root, [])
    if isinstance(data, VideoReader):
        return prepare(data.videos(), out, settings, jobs)
    if isinstance(data, CsvDataModule):
        data.scale = math.inf  # labels are copied, whatever their scale
        return _prepare_lists(data, out, settings, jobs)
    raise AvceError(f"{layout} has no videos to prepare. Data sets to prepare are {_layouts()}.")


def _layouts() -> str:
    """The options of the group ``dataset`` that can be prepared."""
    from avce_pl.config.open_dataset import dataset_class, dataset_options
    from avce_pl.dataset.csv import CsvDataModule

    return ", ".join(name for name in dataset_options() if issubclass(dataset_class(name), VideoReader | CsvDataModule))


def _prepare_lists(reader: "CsvDataModule", out: Path, settings: PrepareSettings, jobs: int) -> Prepared:
    """Prepares the images of CSV lists, in portions instead of videos, and writes the lists again."""
    from avce_pl.dataset.csv import COLUMNS

    table = reader.read_all().table
    portions: dict[str, list[VideoSource]] = {}
    for split in reader.lists():
        paths = [reader.root / path for path in table["path"][table["split"] == split]]
        portions[split] = [
            VideoSource(f"{split}-{first:07d}", None, None, stills=paths[first : first + _PORTION])
            for first in range(0, len(paths), _PORTION)
        ]
    prepared = prepare([source for part in portions.values() for source in part], out, settings, jobs, follow=False)
    for split, path in reader.lists().items():
        listed = Table(reader.root, path, {"path": COLUMNS["path"]})
        cells = read_cells(path).iloc[listed.lines - listed.first_line]
        crops = []
        for source in portions[split]:
            with (out / source.name / FRAMES).open(newline="", encoding="utf-8") as file:
                crops += [row[0] for row in csv.reader(file)]
        name = listed.names["path"]
        cells[name] = crops
        atomic_write(out / f"{path.stem}.csv", cells[cells[name] != ""].to_csv(index=False))
    return prepared
