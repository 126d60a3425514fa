"""Every layout is written with and without faults; the faults are where the writer says."""

from pathlib import Path

import pytest

from avce_pl.errors import AvceError
from avce_pl.synthesis.writers import LAYOUTS, write_layout

SMALL = {
    "affectnet_2017": {"train": 30, "val": 22, "size": 48},
    "affectnet_2021": {"train": 16, "val": 8, "size": 48},
    "raf_db": {"train": 16, "val": 0, "test": 8, "size": 48},
    "aff_wild": {"train": 9, "test": 1, "size": 48, "frames": 8},
    "aff_wild2": {"train": 14, "val": 4, "size": 48, "frames": 10},
    "afew_va": {"train": 9, "val": 3, "size": 48, "frames": 12},
    "csv": {"train": 16, "val": 6, "size": 48},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_without_faults_nothing_is_injected(layout: str, tmp_path: Path) -> None:
    assert write_layout(layout, tmp_path / "data", **SMALL[layout]) == []
    assert any((tmp_path / "data").rglob("*"))
    assert "Procedural faces" in (tmp_path / "data" / "PROCEDURAL.txt").read_text()
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_fault_is_injected_and_said(layout: str, tmp_path: Path) -> None:
    injected = write_layout(layout, tmp_path / "data", "all", **SMALL[layout])
    assert {fault.kind for fault in injected} == set(LAYOUTS[layout].faults)
    assert all(not Path(fault.path).is_absolute() and fault.detail for fault in injected)


def test_the_same_seed_writes_the_same_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_layout("affectnet_2017", tmp_path / name, **SMALL["affectnet_2017"])
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert files
    assert all((tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes() for file in files)


def test_mistakes_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(AvceError, match=r"There is no layout affwild; did you mean aff_wild"):
        write_layout("affwild", tmp_path / "data")
    with pytest.raises(AvceError, match=r"csv knows no fault missing_imag; did you mean missing_image\?"):
        write_layout("csv", tmp_path / "data", "missing_imag")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    with pytest.raises(AvceError, match=r"is not empty\. Give a new folder"):
        write_layout("csv", tmp_path / "full")
