"""Run folders that this file writes, in the form in which runs leave them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from avce_pl.errors import AvceError
from avce_pl.runs.predictions import missing_methods, open_runs, require_same_faces, runs_of_sweep
from avce_pl.runs.records import short_name


def write_run(root: Path, method: str = "avce", formula: str = "avce", seed: int = 0, faces: int = 30) -> Path:
    folder = root / f"sweep/synthetic_video/{method}/al/{formula}/none/seed_{seed}"
    folder.mkdir(parents=True)
    record = {"name": "sweep", "seed": seed, "dataset": "synthetic_video", "method": method, "backbone": "al"}
    record |= {"crl_formula": formula, "mining": "none", "digest": "d", "run": {"commit": "abc"}}
    record |= {"data": {"test_split": "test", "fingerprint": "f"}, "parameters": {}, "test": {}}
    (folder / "metrics.json").write_text(json.dumps(record))
    rng = np.random.default_rng(0)
    columns = {"row": np.arange(100, 100 + faces), "path": [f"{n}.png" for n in range(faces)]}
    columns |= {"video": [f"v{n // 10}" for n in range(faces)], "subject": "", "frame": np.arange(faces) % 10}
    table = pd.DataFrame(columns)
    table[["valence", "arousal"]] = rng.uniform(-1, 1, (faces, 2))
    table[["predicted_valence", "predicted_arousal"]] = 0.8 * table[["valence", "arousal"]] + 0.1 * seed
    table.to_parquet(folder / "predictions.parquet")
    return folder


def test_runs_are_called_by_what_tells_them_apart(tmp_path: Path) -> None:
    folders = [write_run(tmp_path, "avce", formula) for formula in ("infonce", "avce")]
    runs = open_runs([*folders, write_run(tmp_path, "baseline", "none")])
    assert [run.label for run in runs] == ["Baseline", "AVCE infonce", "AVCE avce"]
    assert missing_methods(runs) == ["No run of CAF was given."]
    assert [run.label for run in open_runs(folders[:1])] == ["AVCE"]
    assert runs[0].synthetic
    again = tmp_path / "again"
    shutil.copytree(folders[0], again)
    assert len({run.label for run in open_runs([folders[0], again])}) == 2


def test_a_sweep_gives_one_finished_run_of_each_row(tmp_path: Path) -> None:
    kept = [write_run(tmp_path, "avce", "avce", 1), write_run(tmp_path, "baseline", "none", 0)]
    write_run(tmp_path, "avce", "avce", 2)
    (write_run(tmp_path, "avce", "infonce", 0) / "failed.txt").write_text("Traceback")
    (write_run(tmp_path, "avce", "avce", 0) / "metrics.json").unlink()
    folders, notes = runs_of_sweep(tmp_path / "sweep")
    assert sorted(folders) == sorted(kept)
    assert len(notes) == 2
    assert "failed" in notes[0] + notes[1]
    assert "unfinished" in notes[0] + notes[1]
    with pytest.raises(AvceError, match="no finished run"):
        runs_of_sweep(tmp_path / "other")


def test_runs_on_other_faces_or_labels_are_not_compared(tmp_path: Path) -> None:
    first, second = write_run(tmp_path), write_run(tmp_path, seed=1)
    require_same_faces(open_runs([first, second]))
    table = pd.read_parquet(second / "predictions.parquet")
    table.assign(row=table["row"] + 7).to_parquet(second / "predictions.parquet")  # another index, the same faces
    require_same_faces(open_runs([first, second]))
    table.loc[3, "valence"] += 0.5
    table.to_parquet(second / "predictions.parquet")
    with pytest.raises(AvceError, match="1 of 30 faces or labels differ"):
        require_same_faces(open_runs([first, second]))
    table[:20].to_parquet(second / "predictions.parquet")
    with pytest.raises(AvceError, match="30 and 20 faces"):
        require_same_faces(open_runs([first, second]))


def test_what_is_not_a_run_for_valence_and_arousal_is_a_sentence(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    with pytest.raises(AvceError, match="given twice"):
        open_runs([folder, folder / "."])
    for wrong in (tmp_path, folder / "metrics.json", tmp_path / "nowhere"):
        with pytest.raises(AvceError, match="no finished run"):
            open_runs([wrong])
    table = pd.read_parquet(folder / "predictions.parquet")
    table.drop(columns="frame").to_parquet(folder / "predictions.parquet")
    with pytest.raises(AvceError, match=r"cannot be read .*frame"):
        open_runs([folder])
    (folder / "predictions.parquet").write_bytes(b"PAR1 half a file")
    with pytest.raises(AvceError, match="cannot be read"):
        open_runs([folder])
    (folder / "predictions.parquet").unlink()
    with pytest.raises(AvceError, match="cannot be read"):
        open_runs([folder])
    record = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps(record | {"data": {"classes": ["Happy"]}}))
    with pytest.raises(AvceError, match="predicts expressions"):
        open_runs([folder])


@pytest.mark.parametrize(
    ("method", "formula", "name"),
    [
        ("avce", "avce", "al-avce-hard-s1"),
        ("avce", "none", "al-none-hard-s1"),
        ("caf", "none", "al-caf-hard-s1"),
        ("baseline", "none", "al-baseline-hard-s1"),
        ("mine", "infonce", "al-mine-infonce-hard-s1"),
    ],
)
def test_the_short_name_of_a_run_tells_methods_and_formulas_apart(method: str, formula: str, name: str) -> None:
    choices = {"dataset": "csv", "method": method, "backbone": "al", "crl_formula": formula, "mining": "hard"}
    assert short_name(choices, 1) == name
