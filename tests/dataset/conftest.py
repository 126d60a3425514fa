import shutil
from pathlib import Path

import pytest

from avce_pl.synthesis.writers import write_csv


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV data set of 12 + 6 procedural faces; not to be changed."""
    folder = tmp_path_factory.mktemp("written")
    write_csv(folder, train=12, val=6, size=40)
    return folder


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    """The same data set, to be changed."""
    return Path(shutil.copytree(written, tmp_path / "faces"))
