"""A check-up of a data set of image files: what is there, what is wrong with it, and how its splits compare."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import combinations, groupby
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avce_pl.dataset.core.datamodule import Sampler, balancing_groups
from avce_pl.dataset.core.index import BOX, EXPRESSION_NAMES, LABELS, SPLITS, FaceIndex
from avce_pl.dataset.core.loading import expected_draws
from avce_pl.dataset.core.split_protocol import Finding, Protocol
from avce_pl.dataset.files.datamodule import FileDataModule, ImageFiles
from avce_pl.errors import AvceError
from avce_pl.utils.progress import track

BINS = 20
"""Bins along valence and along arousal of the label histograms."""
REGIONS = 5
"""Regions along each axis of the plane that a sample face is shown for."""
MOST_LISTED = 1000
"""Findings of one kind that are listed; all are counted."""

_AT_A_TIME = 256
_SAMPLE_SIDE = 96
_SAMPLES = 5  # faces of each expression, where there are no planes
_NOT_PREPARED = "not prepared"
_IMAGE_KINDS = {
    "missing": "missing_image",
    "empty": "empty_image",
    "cannot be opened": "unreadable_image",
    "damaged or not an image": "damaged_image",
}
"""The others are about the box."""
_BALANCED: tuple[Sampler, ...] = ("balanced_plane", "balanced_expressions")


class Sample(NamedTuple):
    """A face to look at.

    Attributes:
        split: Its split.
        valence: Its valence, NaN where only the expression is known.
        arousal: Its arousal, or NaN.
        expression: Name of its expression, "" unknown.
        path: Of its image.
        jpeg: The picture.
    """

    split: str
    valence: float
    arousal: float
    expression: str
    path: str
    jpeg: bytes


@dataclass(frozen=True)
class CheckUp:
    """What was found.

    Attributes:
        record: The findings and figures, JSON-able; the keys are stable:

            - `dataset` and `protocol` (`name`, `description`, and `split_hash`, as a run on usable rows records it);
            - `clean`: whether there is no fault;
            - `splits`: split -> `rows`, `usable` (rows whose image can be trained on), `bad_images` (fault ->
              number), `subjects`, `videos`, `expressions` (name -> number), `valence` and `arousal` (`mean`, `sd`;
              absent where nothing is labelled), `plane` (label histogram, `plane[i][j]`: i-th bin of valence, j-th
              of arousal, both from -1 up), and `expected` (`rows`, `expressions` and `videos` of the real release, as
              far as they are known);
            - `total`: `rows`, `videos` and `expected` of all splits together;
            - `dropped`: rows left out by the reader: reason -> number;
            - `shifts`: list of `splits` (two names), `axis`, `difference` (of the means) and `distance` (largest
              difference of the cumulative distributions, 0 to 1);
            - `training`: what an epoch is drawn from: list of `name`, `rows`, `plane` (where rows have valence and
              arousal) and `expressions` (where they have any), for the rows as they are, thinned by `stride` and
              `frames_per_video`, and for each sampler;
            - `counts`: ``fault`` and ``note``: kind of finding -> number;
            - `findings`: list of `fault`, `kind`, `where` and `detail`, faults first, at most `MOST_LISTED` of a kind.
        samples: Faces to look at.
    """

    record: dict[str, Any]
    samples: list[Sample]


def check(data: FileDataModule, name: str) -> CheckUp:
    """Reads the labels, looks at every image, and compares the splits; nothing is taken from the cache.

    Rows whose labels cannot be read are findings, and left out of the figures. Videos of which the frames are not
    prepared yet are checked as far as that can be done without pictures.

    Args:
        data: The data set.
        name: What it is called.

    Raises:
        AvceError: there is no such data set in the folder.
    """
    protocol = data.protocols[data.protocol]
    record: dict[str, Any] = {
        "dataset": name,
        "protocol": {"name": data.protocol, "description": protocol.description},
    }
    data.annotations()
    findings: list[Finding] = []
    try:
        findings += data.findings()
        reading = data.read()
    except AvceError as error:
        findings.append(Finding(True, "labels", "", str(error)))
        return CheckUp(record | _listed(findings), [])
    findings += reading.problems
    index = reading.index
    if data.unprepared:
        faults: NDArray[np.str_] = np.full(len(index.table), _NOT_PREPARED)
        findings.append(Finding(False, "not_prepared", "", data.unprepared))
    else:
        index, faults, renamed = data.examined(index)
        findings += _image_findings(index, faults)
        findings += _duplicates(index, _contents(data.image_root, index.table, faults))
        findings += [Finding(False, "wrong_case", path, f"It is called {name}.") for path, name in renamed.items()]
    findings += _split_findings(index, protocol)
    for why, count in index.dropped.items():
        findings.append(Finding(False, "left_out", reading.places.get(why, ""), f"Left out, {why}: {count:,}."))
    shifts = list(_shifts(index))
    findings += _shift_findings(index, shifts)
    usable = data.thinned(index.select(faults == ""))
    record["protocol"]["split_hash"] = usable.split_hash if len(usable.table) else ""
    record |= {
        "splits": {split: _summary(index, faults, split, protocol) for split in SPLITS if len(index.rows(split))},
        "total": {
            "rows": len(index.table),
            "videos": _count(index.table, "video"),
            "expected": _expected(protocol, "all"),
        },
        "dropped": dict(index.dropped),
        "shifts": shifts,
        "training": _training(data, index),
    }
    return CheckUp(record | _listed(findings), list(_samples(data, index, faults)))


def _listed(findings: Sequence[Finding]) -> dict[str, Any]:
    """`clean`, `counts` and `findings` of the record."""
    ordered = sorted(findings, key=lambda finding: (not finding.fault, finding.kind))
    listed = [f for _, kind in groupby(ordered, key=lambda f: (f.fault, f.kind)) for f in list(kind)[:MOST_LISTED]]
    return {
        "clean": not any(finding.fault for finding in findings),
        "counts": {
            "fault": dict(Counter(finding.kind for finding in ordered if finding.fault)),
            "note": dict(Counter(finding.kind for finding in ordered if not finding.fault)),
        },
        "findings": [asdict(finding) for finding in listed],
    }


def _image_findings(index: FaceIndex, faults: NDArray[np.str_]) -> Iterator[Finding]:
    broken = index.table.loc[faults != "", ["path", "split", *BOX]].itertuples(index=False, name=None)
    for fault, (path, split, *box) in zip(faults[faults != ""].tolist(), broken, strict=True):
        kind = _IMAGE_KINDS.get(fault, "wrong_box")
        place = f", {box} (x, y, width, height)" if kind == "wrong_box" else ""
        yield Finding(True, kind, path, f"A {split} image: {fault}{place}.")


def _split_findings(index: FaceIndex, protocol: Protocol) -> Iterator[Finding]:
    """Rows, subjects and videos that are where they should not be, and splits of another size than the real ones."""
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
    # Other counts than the real release's are no fault: it may be a part, or another edition.
    for split in (*SPLITS, "all"):
        part, where = (table, "in all") if split == "all" else (table[table["split"] == split], f"in {split}")
        for what, known, found in (
            ("rows", protocol.rows, len(part)),
            ("videos", protocol.videos, _count(part, "video")),
        ):
            if split in known and found != known[split]:
                detail = f"{found:,} {what} {where}; the real release has {known[split]:,} under this protocol."
                yield Finding(False, f"expected_{what}", split, detail)


def _contents(root: Path, table: pd.DataFrame, faults: NDArray[np.str_]) -> "pd.Series[str]":
    """A hash of the file of every usable row that is as long as another file."""
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


def _duplicates(index: FaceIndex, contents: "pd.Series[str]") -> Iterator[Finding]:
    """Different files with the same content. Within one video that is a picture that stands still, and no fault."""
    for rows in contents[contents.duplicated(keep=False)].groupby(contents).groups.values():
        (original, home, film), *others = index.table.loc[rows, ["path", "split", "video"]].to_numpy().tolist()
        for path, split, video in others:
            if (still := video != "" and video == film) or split == home:
                yield Finding(not still, "duplicate_image", path, f"The same bytes as {original}.")
            else:
                detail = f"This {split} image is the same as the {home} image {original}."
                yield Finding(True, "duplicate_across_splits", path, detail)


def _summary(index: FaceIndex, faults: NDArray[np.str_], split: str, protocol: Protocol) -> dict[str, Any]:
    rows = index.rows(split)
    table, broken = index.table.iloc[rows], faults[rows]
    labels = index.labels[rows]
    summary: dict[str, Any] = {
        "rows": len(rows),
        "usable": int((broken == "").sum()),
        "bad_images": dict(Counter(broken[broken != ""].tolist())),
        "subjects": _count(table, "subject"),
        "videos": _count(table, "video"),
        "expressions": _expressions(table),
        "plane": _plane(labels),
        "expected": _expected(protocol, split),
    }
    for axis, name in enumerate(LABELS):
        values = labels[:, axis][~np.isnan(labels[:, axis])].astype(np.float64)
        if len(values):
            summary[name] = {"mean": round(values.mean(), 4), "sd": round(values.std(), 4)}
    return summary


def _expected(protocol: Protocol, split: str) -> dict[str, Any]:
    """What the real release has, as far as that is known."""
    counts = {"rows": protocol.rows.get(split), "videos": protocol.videos.get(split)}
    expected: dict[str, Any] = {what: count for what, count in counts.items() if count is not None}
    if classes := protocol.classes.get(split):
        expected["expressions"] = {EXPRESSION_NAMES[code]: count for code, count in enumerate(classes)}
    return expected


def _count(table: pd.DataFrame, column: str) -> int:
    """How many different names there are."""
    return int(table.loc[table[column] != "", column].nunique())


def _expressions(table: pd.DataFrame, weights: NDArray[np.float64] | None = None) -> dict[str, float]:
    """Rows of each expression that there is."""
    counts = np.bincount(table["expression"] + 1, weights, minlength=12)[1:].round(2).tolist()
    return {EXPRESSION_NAMES[code]: count for code, count in enumerate(counts) if count}


def _plane(labels: NDArray[np.float32], weights: NDArray[np.float64] | None = None) -> list[list[float]]:
    """(BINS, BINS) histogram over valence and arousal."""
    known = ~np.isnan(labels).any(axis=1)
    valence, arousal = labels[known].T
    edges = np.linspace(-1, 1, BINS + 1)
    counts, _, _ = np.histogram2d(valence, arousal, [edges, edges], weights=None if weights is None else weights[known])
    histogram: list[list[float]] = counts.round(2).tolist()
    return histogram


def _shifts(index: FaceIndex) -> Iterator[dict[str, Any]]:
    """How valence and arousal differ between the splits."""
    for axis, name in enumerate(LABELS):
        values = {split: np.sort(index.labels[index.rows(split), axis].astype(np.float64)) for split in SPLITS}
        known = {split: x[~np.isnan(x)] for split, x in values.items() if not np.isnan(x).all()}
        for (one, a), (other, b) in combinations(known.items(), 2):
            places = np.concatenate([a, b])
            gap = np.searchsorted(a, places, "right") / len(a) - np.searchsorted(b, places, "right") / len(b)
            yield {
                "splits": [one, other],
                "axis": name,
                "difference": round(b.mean() - a.mean(), 4),
                "distance": round(np.abs(gap).max(), 4),
            }


def _shift_findings(index: FaceIndex, shifts: list[dict[str, Any]]) -> Iterator[Finding]:
    """Shifts that are large and no chance (Kolmogorov and Smirnov's test at 1 %, were the rows independent)."""
    for shift in shifts:
        one, other = shift["splits"]
        if shift["distance"] > max(0.1, 1.63 * sum(1 / len(index.rows(split)) for split in (one, other)) ** 0.5):
            detail = (
                f"The mean {shift['axis']} of {other} is {abs(shift['difference']):.2f} "
                f"{'above' if shift['difference'] > 0 else 'below'} that of {one}, and the cumulative distributions "
                f"differ by up to {shift['distance']:.2f}."
            )
            yield Finding(False, "label_shift", f"{one}/{other}", detail)


def _training(data: FileDataModule, index: FaceIndex) -> list[dict[str, Any]]:
    """Labels of the rows that an epoch is drawn from, and of what each sampler draws."""

    def drawn(name: str, index: FaceIndex, weights: NDArray[np.float64] | None = None) -> dict[str, Any]:
        rows = index.rows("train")
        labels, expressions = index.labels[rows], _expressions(index.table.iloc[rows], weights)
        return {
            "name": name,
            "rows": len(rows),
            **({} if np.isnan(labels).all() else {"plane": _plane(labels, weights)}),
            **({"expressions": expressions} if expressions else {}),
        }

    shown = [drawn("all rows", index)]
    thinned = data.thinned(index)
    if thinned is not index:
        name = f"stride {data.stride}"
        if data.frames_per_video is not None:
            name += f", at most {data.frames_per_video} frames of a video"
        shown.append(drawn(name, thinned))
    rows = thinned.rows("train")
    for sampler in _BALANCED:
        try:
            groups = balancing_groups(thinned, rows, sampler)
        except AvceError:  # there are no expressions, or not all have valence and arousal
            continue
        assert groups is not None
        shown.append(drawn(sampler, thinned, expected_draws(groups)))
    return shown


def _samples(data: FileDataModule, index: FaceIndex, faults: NDArray[np.str_]) -> Iterator[Sample]:
    """A face of each region of the plane and split, or some of each expression, the same ones every time."""
    if not (faults == "").any():
        return
    usable = index.table[faults == ""].reset_index(drop=True)
    images = ImageFiles(data.image_root, usable, _SAMPLE_SIDE, data.margin, data.cache_dir)
    order = np.random.default_rng(0).permutation(len(usable))
    mixed = usable.iloc[order].dropna(subset=LABELS)
    cells = np.clip(np.floor((mixed[LABELS] + 1) * (REGIONS / 2)), 0, REGIONS - 1).astype(int)
    chosen = mixed.groupby([mixed["split"], cells["valence"], cells["arousal"]], observed=True).head(1)
    if mixed.empty:
        chosen = usable.iloc[order].groupby(["split", "expression"], observed=True).head(_SAMPLES)
    for row, face in chosen.sort_values(["split", "expression", *LABELS]).iterrows():
        picture = cv2.cvtColor(images[int(str(row))], cv2.COLOR_RGB2BGR)
        _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])
        expression = EXPRESSION_NAMES[face["expression"]] if face["expression"] >= 0 else ""
        valence, arousal = (float(face[name]) for name in LABELS)
        yield Sample(face["split"], valence, arousal, expression, face["path"], jpeg.tobytes())
