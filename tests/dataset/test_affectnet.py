"""AffectNet in the layouts that `avce data synthesize` writes, read back, faults included."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from avce_pl.dataset.affectnet import AffectNetDataModule
from avce_pl.errors import AvceError
from avce_pl.synthesis.writers import write_layout


def module(root: Path, **options) -> AffectNetDataModule:
    defaults = {"image_size": 32, "batch_size": 4, "num_workers": 0, "cache_dir": str(root.parent / "cache")}
    return AffectNetDataModule(str(root), **(defaults | options))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_the_release_of_2017_is_read_back(root: Path) -> None:
    write_layout("affectnet_2017", root, train=12, val=8, size=48)
    data = module(root)
    assert data.faces.protocol == "affectnet_va_4500"
    lists = {split: next(root.rglob(name)) for split, name in (("train", "training.csv"), ("val", "validation.csv"))}
    for split, file in lists.items():
        written = pd.read_csv(file)
        usable = written[(written["valence"].abs() <= 1) & (written["expression"] < 9)]
        rows = data.index[data.index["split"] == split]
        np.testing.assert_allclose(rows["valence"], usable["valence"], atol=1e-6)
        np.testing.assert_allclose(rows["arousal"], usable["arousal"], atol=1e-6)
        assert rows["expression"].tolist() == usable["expression"].tolist()
        assert rows["box_width"].tolist() == usable["face_width"].tolist()
    assert data.faces.landmarks is not None
    (first, *_) = data.train_dataloader()
    assert first["image"].shape == (4, 3, 32, 32)


def test_the_release_of_2021_is_read_back(root: Path) -> None:
    write_layout("affectnet_2021", root, train=10, val=6, size=48)
    data = module(root)
    assert data.faces.protocol == "affectnet_va_4000"
    for row in data.index.sample(5, random_state=0).itertuples():
        stem = root / Path(str(row.path)).parent.parent / "annotations" / Path(str(row.path)).stem
        assert row.valence == pytest.approx(float(np.load(f"{stem}_val.npy").item()), abs=1e-6)
        assert row.arousal == pytest.approx(float(np.load(f"{stem}_aro.npy").item()), abs=1e-6)
        assert row.expression == int(np.load(f"{stem}_exp.npy").item())
    (first, *_) = data.val_dataloader()
    assert first["image"].shape[1:] == (3, 32, 32)


@pytest.mark.parametrize("layout", ["affectnet_2017", "affectnet_2021"])
def test_broken_images_stop_the_run_or_are_counted(layout: str, root: Path) -> None:
    write_layout(layout, root, "missing_image,truncated_image,empty_image", train=16, val=6, size=48)
    with pytest.raises(AvceError, match=r"3 images under .* cannot be used"):
        _ = module(root).index
    skipped = module(root, on_bad_image="skip")
    assert sum(skipped.bad_images.values()) == 3


def test_a_headerless_and_nested_release_with_sentinels(root: Path) -> None:
    plain = root.parent / "plain"
    write_layout("affectnet_2017", plain, "sentinels", train=30, val=22, size=48)
    write_layout("affectnet_2017", root, "sentinels,headerless,nested", train=30, val=22, size=48)
    read, expected = module(root), module(plain)
    np.testing.assert_array_equal(read.faces.labels, expected.faces.labels)
    assert read.faces.dropped == expected.faces.dropped
    assert sum(read.faces.dropped.values()) > 0


def test_wrong_case_is_found(root: Path) -> None:
    write_layout("affectnet_2017", root, "wrong_case", train=12, val=8, size=48)
    data = module(root)
    assert all((root / path).is_file() for path in data.index["path"])


@pytest.mark.parametrize(("fault", "words"), [("bad_label", "is not a number"), ("missing", "does not hold")])
def test_mistakes_are_sentences(fault: str, words: str, root: Path) -> None:
    if fault == "missing":
        root.mkdir()
    else:
        write_layout("affectnet_2017", root, fault, train=12, val=8, size=48)
    with pytest.raises(AvceError, match=words):
        _ = module(root).index
