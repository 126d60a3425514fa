from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from avce_pl.dataset.core import index as index_module
from avce_pl.dataset.core.index import FaceIndex
from avce_pl.errors import AvceError


def table(**columns: object) -> pd.DataFrame:
    rows = {
        "path": ["a/1.jpg", "a/2.jpg", "b/1.jpg"],
        "split": ["train", "train", "val"],
        "valence": [0.5, -1.0, 0.0],
        "arousal": [0.25, 1.0, -0.125],
    }
    return pd.DataFrame(rows | columns)


def test_unknown_columns_get_their_defaults_and_every_column_its_type() -> None:
    built = FaceIndex.build(table(), "test").table
    assert {name: str(dtype) for name, dtype in built.dtypes.items() if name != "path"} == {
        "split": "category",
        "valence": "float32",
        "arousal": "float32",
        "expression": "int8",
        "subject": "category",
        "video": "category",
        "frame": "int32",
        "box_x": "int32",
        "box_y": "int32",
        "box_width": "int32",
        "box_height": "int32",
        "bytes": "int64",
    }
    assert built["expression"].tolist() == [-1, -1, -1]
    assert built["subject"].tolist() == ["", "", ""]


def test_rows_and_labels() -> None:
    index = FaceIndex.build(table(), "test")
    assert index.rows("train").tolist() == [0, 1]
    assert index.rows("val").tolist() == [2]
    assert index.rows("test").tolist() == []
    np.testing.assert_array_equal(index.labels, np.float32([[0.5, 0.25], [-1, 1], [0, -0.125]]))
    assert index.labels.dtype == np.float32


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("path", "/etc/passwd", "inside the root"),
        ("path", "../x.jpg", "inside the root"),
        ("path", "a/../../x.jpg", "inside the root"),
        ("path", "a\\..\\x.jpg", "inside the root"),
        ("path", "C:x.jpg", "inside the root"),
        ("path", "", "has a path"),
        ("path", None, "has a path"),
        ("split", "valid", "split is one of"),
        ("valence", 1.001, "valence lies within"),
        ("arousal", float("nan"), "arousal lies within"),
        ("expression", 11, "AffectNet code"),
        ("box_width", 5, "positive width and height"),
        ("box_x", 3, "positive width and height"),
    ],
)
def test_a_row_that_breaks_the_schema_is_refused_and_named(column: str, value: object, rule: str) -> None:
    broken = FaceIndex.build(table(), "test").table.astype(object)
    broken.loc[1, column] = value
    with pytest.raises(AvceError, match=rf"Row 1 .*{rule}"):
        FaceIndex.build(broken, "test")


def test_names_with_two_dots_are_no_climb() -> None:
    FaceIndex.build(table(path=["a..b/1.jpg", "..a/2.jpg", "b/1...jpg"]), "test")


def test_columns_and_landmarks_must_fit() -> None:
    with pytest.raises(ValueError, match="arousal"):
        FaceIndex.build(table().drop(columns="arousal"), "test")
    with pytest.raises(ValueError, match="age"):
        FaceIndex.build(table(age=3), "test")
    with pytest.raises(ValueError, match="landmarks"):
        FaceIndex.build(table(), "test", landmarks=np.zeros((2, 68, 2), np.float32))


@pytest.mark.parametrize(
    "changed",
    [
        {"path": ["a/1.jpg", "a/2.jpg", "b/2.jpg"]},
        {"split": ["train", "train", "test"]},
        {"valence": [0.5, -1.0, 1e-7]},
        {"subject": ["p", "", ""]},
        {"bytes": [1, 2, 3]},
        {"box_width": [1, 0, 0], "box_height": [1, 0, 0]},
    ],
)
def test_fingerprint_changes_with_any_column(changed: dict[str, object]) -> None:
    before = FaceIndex.build(table(), "test").fingerprint
    assert FaceIndex.build(table(**changed), "test").fingerprint != before


def test_fingerprint_is_the_same_everywhere() -> None:
    # A value, so that it cannot quietly change with a version of pandas: finished runs would no longer be recognised.
    assert FaceIndex.build(table(), "test").fingerprint == "98c5d73e5694cff6fa66"
    assert FaceIndex.build(table(), "test", identity="x").fingerprint != FaceIndex.build(table(), "test").fingerprint


def test_round_trip(tmp_path: Path) -> None:
    landmarks = np.random.default_rng(0).random((3, 68, 2), np.float32)
    before = FaceIndex.build(table(subject=["p", "q", "p"]), "test", {"sentinel": 4}, landmarks, "pixels")
    before.save(tmp_path)
    after = FaceIndex.load(tmp_path)
    pd.testing.assert_frame_equal(after.table, before.table)
    assert (after.protocol, after.dropped, after.identity) == ("test", {"sentinel": 4}, "pixels")
    assert after.fingerprint == before.fingerprint
    assert isinstance(after.landmarks, np.memmap)
    np.testing.assert_array_equal(after.landmarks, landmarks)
    rebuilt = FaceIndex.build(after.table, "test", identity="pixels")
    assert rebuilt.fingerprint == before.fingerprint


def test_an_interrupted_save_leaves_the_old_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FaceIndex.build(table(), "old").save(tmp_path)

    def half(_: object, path: Path, **__: object) -> None:
        path.write_bytes(b"PAR1 half a file")
        raise KeyboardInterrupt

    monkeypatch.setattr(index_module.pq, "write_table", half)
    with pytest.raises(KeyboardInterrupt):
        FaceIndex.build(table(), "new").save(tmp_path)
    assert FaceIndex.load(tmp_path).protocol == "old"


def test_labels_may_be_unknown_where_the_expression_is_known() -> None:
    table = pd.DataFrame({"path": ["a", "b"], "split": "train", "valence": np.nan, "arousal": np.nan, "expression": 1})
    index = FaceIndex.build(table, "raf_db_official")
    assert np.isnan(index.labels).all()
    with pytest.raises(AvceError, match="valence lies within"):
        FaceIndex.build(table.assign(expression=-1), "raf_db_official")
    with pytest.raises(AvceError, match="valence lies within"):
        FaceIndex.build(table.assign(arousal=0.5), "raf_db_official")


def test_the_split_hash_stands_for_the_split_alone() -> None:
    table = pd.DataFrame({"path": ["a", "b"], "split": ["train", "val"], "valence": 0.1, "arousal": 0.2})
    first = FaceIndex.build(table, "p")
    assert FaceIndex.build(table.assign(valence=0.3), "p").split_hash == first.split_hash
    assert FaceIndex.build(table.assign(split="train"), "p").split_hash != first.split_hash
