"""Damaged files in a run's folder: whoever reads them says which file it is; nobody takes them for something else."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from avce_pl.errors import AvceError
from avce_pl.report.model_card import write_model_card
from avce_pl.report.pages.report import report_page
from avce_pl.report.tables.table import make_table
from avce_pl.runs.folder import open_run
from avce_pl.runs.predictions import open_runs
from tests.support.runs import train

JSON = {"nothing": b"", "no object": b"[1, 2]\n", "null": b"null\n", "zeros": bytes(200), "noise": b"\xf2\x9d {}"}
YAML = JSON | {"an attack": b"!!python/object/apply:os.system [false]\n", "a text": b"dataset: none\n"}
PARQUET = {"nothing": b"", "half": b"PAR1 half a file", "zeros": bytes(200)}
DAMAGES = [
    (file, damage)
    for file, damages in (
        ("metrics.json", [*JSON, "half", "of another version"]),
        ("identity.json", [*JSON, "half"]),
        ("config.yaml", list(YAML)),
        ("predictions.parquet", [*PARQUET, "missing"]),
    )
    for damage in damages
]
READERS: dict[str, tuple[str, ...]] = {
    "metrics.json": ("table", "report", "figures", "card", "model", "run.py"),
    "identity.json": ("table", "report", "model", "run.py"),
    "config.yaml": ("card", "model"),
    "predictions.parquet": ("figures", "card"),
}


def do(damage: str, file: Path) -> None:
    whole = file.read_bytes()
    if damage == "missing":
        file.unlink()
    elif damage == "of another version":
        file.write_text(json.dumps({"test": json.loads(whole)["test"]}))
    else:
        contents = YAML if file.suffix == ".yaml" else PARQUET if file.suffix == ".parquet" else JSON
        file.write_bytes({"half": whole[: len(whole) // 2]}.get(damage) or contents[damage])


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, in the place that its command gives it."""
    place = tmp_path / "outputs" / Path(*trained.parts[-7:])
    shutil.copytree(trained, place)
    return place


@pytest.mark.parametrize(("file", "damage"), DAMAGES)
def test_who_reads_a_damaged_file_names_it(
    file: str, damage: str, folder: Path, tiny: list[str], tmp_path: Path
) -> None:
    outputs = tmp_path / "outputs"
    everybody: dict[str, Callable[[], object]] = {
        "table": lambda: make_table(folder.parts[-7], outputs),
        "report": lambda: report_page(outputs),
        "figures": lambda: open_runs([folder]),
        "card": lambda: write_model_card(folder),
        "model": lambda: open_run(folder),
        "run.py": lambda: train([*tiny, "method.batch_norm=false"]),
    }
    do(damage, folder / file)
    for name, read in everybody.items():
        if name in READERS[file]:
            with pytest.raises(AvceError, match=file):
                read()
        elif name != "run.py":
            read()
    for path in ("checkpoints/best.ckpt", "checkpoints/last.ckpt"):  # nothing finished was thrown away
        assert (folder / path).exists()
