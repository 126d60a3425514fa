"""Findings about rows and images: what is wrong with them, or worth knowing."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avce_pl.dataset.check.statistics import Shift, count_names
from avce_pl.dataset.core.index import BOX, EXPRESSION_NAMES, LABELS, SPLITS, FaceIndex
from avce_pl.dataset.core.split_protocol import Finding, Protocol
from avce_pl.utils.progress import track

_AT_A_TIME = 256
_IMAGE_KINDS = {
    "missing": "missing_image",
    "empty": "empty_image",
    "cannot be opened": "unreadable_image",
    "damaged or not an image": "damaged_image",
}
"""The others are about the box."""


def image_findings(index: FaceIndex, faults: NDArray[np.str_]) -> Iterator[Finding]:
    """A finding for every image that cannot be trained on.

    Args:
        index: All rows.
        faults: (N,) what is wrong with each row's image, "" for nothing; see `examine`.
    """
    broken = index.table.loc[faults != "", ["path", "split", *BOX]].itertuples(index=False, name=None)
    for fault, (path, split, *box) in zip(faults[faults != ""].tolist(), broken, strict=True):
        kind = _IMAGE_KINDS.get(fault, "wrong_box")
        place = f", {box} (x, y, width, height)" if kind == "wrong_box" else ""
        yield Finding(True, kind, path, f"A {split} image: {fault}{place}.")


def split_findings(index: FaceIndex, protocol: Protocol) -> Iterator[Finding]:
    """Rows listed twice, images, subjects and videos in two splits, and splits of another size than the real ones."""
    table = index.table
    key = ["path", *BOX]
    for path, split in table.loc[table.duplicated([*key, "split"]), ["path", "split"]].itertuples(index=False):
        yield Finding(True, "duplicate_row", path, f"The {split} split lists this image more than once.")
    once = table.drop_duplicates([*key, "split"])
    for path in once.loc[once.duplicated(key), "path"].unique():
        yield Finding(True, "overlap_image", path, "The same image is in more than one split.")
    for column in ("subject", "video"):
        named = table.loc[table[column] != "", [column, "split"]].drop_duplicates()
        for where, splits in named.groupby(column, observed=True)["split"]:
            if len(splits) > 1:
                yield Finding(True, f"overlap_{column}", str(where), f"The {column} is in {' and '.join(splits)}.")
    for split in ("train", "val"):
        if not len(index.rows(split)):
            yield Finding(True, "empty_split", split, f"There are no {split} rows.")
    # Other counts than the real release's are not a fault: it may be a part, or another edition.
    for split in (*SPLITS, "all"):
        part, where = (table, "in all") if split == "all" else (table[table["split"] == split], f"in {split}")
        for what, known, found in (
            ("rows", protocol.rows, len(part)),
            ("videos", protocol.videos, count_names(part, "video")),
        ):
            if split in known and found != known[split]:
                detail = f"{found:,} {what} {where}; the real release has {known[split]:,} under this protocol."
                yield Finding(False, f"expected_{what}", split, detail)


def duplicate_findings(index: FaceIndex, contents: "pd.Series[str]") -> Iterator[Finding]:
    """Different files with the same content; a fault, except within one video, where pictures may not change.

    If their labels differ, this is a fault of its own.
    """
    for rows in contents[contents.duplicated(keep=False)].groupby(contents).groups.values():
        columns = ["path", "split", "video", *LABELS, "expression"]
        (original, home, film, *label), *others = index.table.loc[rows, columns].to_numpy(object).tolist()
        for path, split, video, *other in others:
            if (same_video := video != "" and video == film) or split == home:
                yield Finding(not same_video, "duplicate_image", path, f"The same bytes as {original}.")
            else:
                detail = f"This {split} image is the same as the {home} image {original}."
                yield Finding(True, "duplicate_across_splits", path, detail)
            if not same_video and not np.array_equal(np.array(label, float), np.array(other, float), equal_nan=True):
                detail = (
                    f"The same bytes as {original} with other labels: {_labels(other)} here, {_labels(label)} there."
                )
                yield Finding(True, "conflicting_labels", path, detail)


def _labels(values: Sequence[float]) -> str:
    valence, arousal, expression = values
    plane = "" if np.isnan(valence) else f"valence {valence:.2f}, arousal {arousal:.2f}"
    name = EXPRESSION_NAMES[int(expression)] if expression >= 0 else ""
    return ", ".join(filter(None, (plane, name)))


def content_hashes(root: Path, table: pd.DataFrame, faults: NDArray[np.str_]) -> "pd.Series[str]":
    """A hash of the file of every usable row whose size another file has too: row -> hash."""
    files = table.loc[faults == "", ["path", "bytes"]].drop_duplicates()
    files = files[files.duplicated("bytes", keep=False)]

    def content(path: str) -> str:
        return hashlib.blake2b((root / path).read_bytes(), digest_size=16).hexdigest()

    hashes: list[str] = []
    starts = range(0, len(files), _AT_A_TIME)
    with ThreadPoolExecutor() as pool:
        for start in track(starts, "Comparing images", len(starts)):
            hashes += pool.map(content, files["path"].iloc[start : start + _AT_A_TIME])
    return pd.Series(hashes, files.index, str)


def shift_findings(shifts: Iterable[Shift]) -> Iterator[Finding]:
    """Shifts of the labels that are large and significant at 1 %, were the rows independent."""
    for shift, p_value in shifts:
        one, other = shift["splits"]
        if shift["distance"] > 0.1 and p_value < 0.01:
            detail = (
                f"The mean {shift['axis']} of {other} is {abs(shift['difference']):.2f} "
                f"{'above' if shift['difference'] > 0 else 'below'} that of {one}, and the cumulative distributions "
                f"differ by up to {shift['distance']:.2f}."
            )
            yield Finding(False, "label_shift", f"{one}/{other}", detail)
