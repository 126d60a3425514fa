"""The table of a data set: one row per face, the same columns for all data sets."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from avce_pl.errors import AvceError
from avce_pl.utils.files import atomic_path

SPLITS = ("train", "val", "test")
EXPRESSION_NAMES = (
    *("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger", "Contempt"),
    *("None", "Uncertain", "Non-Face"),
)
"""By AffectNet code."""
OUTSIDE_ROOT = r"^[/\\]|^[A-Za-z]:|(?:^|[/\\])\.\.(?:[/\\]|$)|\x00"
"""Matches paths that are absolute or climb out of the root, in any system's spelling."""

_TEXT = pd.ArrowDtype(pa.string())  # a fifth of the memory of Python's strings, and forked workers share it
_NAMES = pd.CategoricalDtype()
_DTYPES: dict[str, object] = {
    "path": _TEXT,
    "split": pd.CategoricalDtype(list(SPLITS)),
    "valence": np.dtype(np.float32),
    "arousal": np.dtype(np.float32),
    "expression": np.dtype(np.int8),
    "subject": _NAMES,
    "video": _NAMES,
    "frame": np.dtype(np.int32),
    "box_x": np.dtype(np.int32),
    "box_y": np.dtype(np.int32),
    "box_width": np.dtype(np.int32),
    "box_height": np.dtype(np.int32),
    "bytes": np.dtype(np.int64),
}
_DEFAULTS = {
    "expression": -1,
    "subject": "",
    "video": "",
    "frame": -1,
    "box_x": 0,
    "box_y": 0,
    "box_width": 0,
    "box_height": 0,
    "bytes": -1,
}
BOX = ["box_x", "box_y", "box_width", "box_height"]
LABELS = ["valence", "arousal"]


@dataclass(frozen=True, eq=False)
class FaceIndex:
    """A validated table of faces with its fingerprint and the number of rows left out. Build one with `build`.

    Attributes:
        table: One row per face, numbered from 0:

            - `path` (text): of the image, relative to the root, with forward slashes;
            - `split`: train, val or test;
            - `valence`, `arousal` (float32): in [-1, 1]; both NaN where only the expression is known;
            - `expression` (int8): AffectNet code, -1 unknown;
            - `subject`, `video`: names, "" unknown;
            - `frame` (int32): -1 unknown;
            - `box_x`, `box_y`, `box_width`, `box_height` (int32, pixels): the face in the image, all 0 for the whole
              image;
            - `bytes` (int64): size of the image's file when it was checked, -1 where images are not files.
        protocol: What was read and how it was split, such as "csv" or "affectnet_va_4500".
        dropped: Reason for leaving rows of the original out -> their number.
        landmarks: Optional (rows, 68, 2) float32, x and y in pixels of the image.
        fingerprint: Hash over the table, the landmarks excepted, and over `identity`.
        identity: Identifies the images' content where `bytes` cannot.
    """

    table: pd.DataFrame
    protocol: str
    dropped: Mapping[str, int] = field(default_factory=dict)
    landmarks: NDArray[np.float32] | None = None
    fingerprint: str = ""
    identity: str = ""

    @classmethod
    def build(
        cls,
        table: pd.DataFrame,
        protocol: str,
        dropped: Mapping[str, int] | None = None,
        landmarks: NDArray[np.float32] | None = None,
        identity: str = "",
    ) -> Self:
        """Makes an index from a table with at least `path`, `split`, `valence` and `arousal`.

        Raises:
            AvceError: a row breaks the schema; the text names it.
            ValueError: a column is missing or unknown, or the landmarks have another number of rows.
        """
        if unknown := set(table.columns) - set(_DTYPES):
            raise ValueError(f"An index has no column {sorted(unknown)}.")
        if missing := set(_DTYPES) - set(_DEFAULTS) - set(table.columns):
            raise ValueError(f"An index needs the columns {sorted(missing)}.")
        if landmarks is not None and landmarks.shape != (len(table), 68, 2):
            raise ValueError(f"landmarks must be ({len(table)}, 68, 2), got {landmarks.shape}.")
        defaults: dict[str, Any] = {name: value for name, value in _DEFAULTS.items() if name not in table}
        table = table.assign(**defaults)
        _validate(table)
        table = table[list(_DTYPES)].astype(_DTYPES).reset_index(drop=True)  # type: ignore[arg-type]
        return cls(table, protocol, dict(dropped or {}), landmarks, _digest(table, identity), identity)

    def select(self, keep: NDArray[np.bool_]) -> Self:
        """The index with some of its rows."""
        landmarks = None if self.landmarks is None else self.landmarks[keep]
        return self.build(self.table[keep], self.protocol, self.dropped, landmarks, self.identity)

    @property
    def split_hash(self) -> str:
        """Hash of which image is in which split; equal for two runs that were split alike."""
        return _digest(self.table[["path", "split"]])

    def rows(self, split: str) -> NDArray[np.int64]:
        """Row numbers of one split."""
        return np.flatnonzero(self.table["split"] == split)

    @property
    def labels(self) -> NDArray[np.float32]:
        """(rows, 2) float32: valence, arousal."""
        return self.table[LABELS].to_numpy(np.float32)

    def save(self, folder: Path) -> None:
        """Writes `index.parquet` and, if there are landmarks, `landmarks.npy`; each appears atomically."""
        metadata = {
            "protocol": self.protocol,
            "dropped": self.dropped,
            "fingerprint": self.fingerprint,
            "identity": self.identity,
        }
        table = pa.Table.from_pandas(self.table, preserve_index=False)
        table = table.replace_schema_metadata({"avce": json.dumps(metadata)})
        # Small row groups, and dictionaries for names only: reading then needs a third of the memory at its peak.
        names = ["split", "subject", "video"]
        with atomic_path(folder / "index.parquet") as temporary:
            pq.write_table(table, temporary, row_group_size=2**17, use_dictionary=names)
        if self.landmarks is not None:
            with atomic_path(folder / "landmarks.npy") as temporary:
                np.save(temporary, self.landmarks)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Opens what `save` wrote; 1.2 million rows in well under two seconds. Landmarks stay on disk."""
        table = pq.read_table(folder / "index.parquet", memory_map=True, pre_buffer=False)
        metadata = json.loads(table.schema.metadata[b"avce"])
        landmarks = folder / "landmarks.npy"
        return cls(
            table=table.to_pandas(types_mapper={pa.string(): _TEXT}.get).astype({"split": _DTYPES["split"]}),
            landmarks=np.load(landmarks, mmap_mode="r") if landmarks.exists() else None,
            **metadata,
        )


def _validate(table: pd.DataFrame) -> None:
    def require(right: "pd.Series[bool]", rule: str) -> None:
        if not right.all():
            row = int(np.argmin(right.to_numpy(bool)))
            found = table.iloc[row][["path", "split", *LABELS, "expression", *BOX]].to_dict()
            raise AvceError(f"Row {row} of the index breaks a rule: {rule}. It holds {found}.")

    path = table["path"].astype("string[pyarrow]")
    require(path.notna() & (path != ""), "every row has a path")
    outside = path.str.contains(OUTSIDE_ROOT, regex=True)
    require(~outside, "paths are relative and stay inside the root")
    require(table["split"].isin(SPLITS), f"split is one of {', '.join(SPLITS)}")
    unlabelled = table[LABELS].isna().all(axis=1) & (table["expression"] >= 0)
    for name in LABELS:
        require(table[name].between(-1, 1) | unlabelled, f"{name} lies within [-1, 1]")
    require(table["expression"].between(-1, 10), "expression is an AffectNet code (0 to 10) or -1")
    box = table[BOX]
    whole = (box == 0).all(axis=1)
    require(whole | ((box["box_width"] > 0) & (box["box_height"] > 0)), "boxes have a positive width and height")


def _digest(table: pd.DataFrame, identity: str = "") -> str:
    digest = hashlib.blake2b(identity.encode(), digest_size=10)
    for name, column in table.items():
        digest.update(f"\0{name}\0".encode())
        if isinstance(_DTYPES[str(name)], np.dtype):
            digest.update(column.to_numpy().tobytes())
        else:
            # iterating over Arrow's texts takes pandas ten times as long
            digest.update("\0".join(map(str, column.to_numpy(object))).encode())
    return digest.hexdigest()
