"""Names and places as people have them: brackets, names that are not UTF-8, no home directory, phones' pictures."""

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from avce_pl.cli.main import app
from avce_pl.errors import AvceError
from avce_pl.face.detectors import build_detector
from avce_pl.predict.sources import find_sources
from avce_pl.utils.files import expand_home, find_paths
from tests.support.runs import train

PICTURE = Image.fromarray(np.full((60, 60, 3), 90, np.uint8))


def test_an_argument_is_a_file_before_it_is_a_pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("My clip [dQw4w9].png", "My clip d.png", "other.png"):
        PICTURE.save(tmp_path / name)
    assert find_paths(str(tmp_path / "My clip [dQw4w9].png")) == [tmp_path / "My clip [dQw4w9].png"]
    assert find_paths(str(tmp_path / "My clip [d].png")) == [tmp_path / "My clip d.png"]
    assert [path.name for path in find_paths(str(tmp_path / "My*"))] == ["My clip [dQw4w9].png", "My clip d.png"]
    assert find_paths(str(tmp_path / "none*")) == []
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_paths("~/other.png") == [tmp_path / "other.png"]


def test_every_picture_of_a_folder_is_read_or_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for ending, form in {"jfif": "JPEG", "avif": "AVIF", "gif": "GIF", "jp2": "JPEG2000", "webp": "WEBP"}.items():
        PICTURE.save(tmp_path / f"a.{ending}", form)
    for name in ("b.heic", "c.HEIC", "d.dng", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    names = [Path(source.name).name for source in find_sources([str(tmp_path)])]
    assert names == ["a.avif", "a.gif", "a.jfif", "a.jp2", "a.webp"]
    assert "1 .dng and 2 .heic files cannot be read here" in caplog.text


def test_a_name_that_is_not_utf_8_costs_nothing_but_its_looks(trained: Path, tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "good.png")
    shutil.copy(tmp_path / "good.png", os.fsencode(tmp_path) + b"/caf\xe9.png")
    for name in ("table.csv", "table.jsonl"):
        arguments = ["predict", str(tmp_path), "--run", str(trained), "--detector", "centre"]
        result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out" / name)])
        assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "out" / "table.csv")
    assert table["status"].tolist() == ["face", "face"]
    assert [Path(name).name for name in table["file"]] == ["caf\\udce9.png", "good.png"]


def test_without_a_home_directory(tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", no_home)
    with pytest.raises(AvceError, match=r"~/x needs a home directory.* Set the variable HOME, or do that\."):
        expand_home("~/x", "do that")
    assert build_detector("auto").name == "haar", "YuNet's usual place is not there"
    with pytest.raises(AvceError, match=r"Set the variable HOME, or give another folder with dataset.cache_dir="):
        train([*(override for override in tiny if "cache_dir" not in override), "dataset.cache_dir='~/.cache/avce_pl'"])
