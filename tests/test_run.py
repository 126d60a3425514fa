"""``run.py`` and ``avce`` as a user starts them: in processes of their own."""

import json
import os
import signal
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

from tests.support.commands import ROOT, call, finish, start, weights


def test_help_lists_groups_and_imports_no_torch() -> None:
    code, out, imported = call("-X", "importtime", "run.py", "--help")
    assert code == 0
    for group in sorted(p.name for p in (ROOT / "conf").iterdir() if p.is_dir() and p.name != "hydra"):
        options = ", ".join(sorted(p.stem for p in (ROOT / "conf" / group).glob("*.yaml")))
        assert f"{group}: {options}" in out
    assert "| torch\n" not in imported
    assert "pytorch_lightning" not in imported


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("backbon=r18", "Error: backbon is not a setting; did you mean backbone?"),
        ("backbone=r81", "Error: backbone=r81: there is no such option; did you mean r18?"),
        ("trainer.max_epohs=3", "Error: trainer.max_epohs is not a setting; did you mean trainer.max_epochs?"),
        ("seed=one", "Error: seed=one does not work: input should be a valid integer"),
    ],
)
def test_mistakes_on_the_command_line(override: str, sentence: str, tmp_path: Path) -> None:
    code, _, err = call("run.py", override, f"output_root={tmp_path}")
    assert code == 1
    assert sentence in err
    assert "Traceback" not in err


def test_a_torchvision_that_does_not_fit_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision/__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    code, _, err = call("run.py", f"output_root={tmp_path}", env=environment)
    assert code == 1
    assert "torch and torchvision do not belong together" in err
    assert "make setup" in err
    assert "Traceback" not in err
    code, out, _ = call("-m", "avce_pl", "doctor", env=environment)
    assert code == 1
    assert "remove .venv and run" in " ".join(out.split())


def test_doctor_is_content_here() -> None:
    code, out, _ = call("-m", "avce_pl", "doctor")
    assert code == 0, out
    assert "torch with torchvision" in out


def test_a_run_prints_its_result_and_where_it_is(tiny: list[str]) -> None:
    code, out, err = call("run.py", *tiny)
    assert code == 0, err
    for text in ("CCC", "PCC", "RMSE", "SAGR", "valence", "arousal", "files:", "picture:"):
        assert text in out
    picture = Path(next(line for line in out.splitlines() if line.startswith("picture:")).split(": ")[1].strip())
    assert picture.is_file()
    assert "Warning" not in err
    code, out, _ = call("run.py", *tiny)
    assert code == 0
    assert "already done" in out


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, *(pytest.param(number, marks=pytest.mark.slow) for number in (signal.SIGTERM, signal.SIGKILL))],
)
def test_an_interrupted_run_goes_on_to_the_same_weights(
    number: signal.Signals, tiny: list[str], tmp_path: Path, cache: Path
) -> None:
    tiny = [*tiny, "trainer.max_epochs=4", "dataset.images_per_subject=32", "method.dropout=0.5"]
    undisturbed = cache / "undisturbed"  # the three signals share it
    assert call("run.py", *tiny, f"output_root={undisturbed}")[0] == 0
    folder = "demo/synthetic/avce/al/avce/none/seed_0"
    process = start("run.py", *tiny)
    last = tmp_path / "outputs" / folder / "checkpoints/last.ckpt"
    while not last.exists():
        assert process.poll() is None, finish(process)
        time.sleep(0.02)
    time.sleep(0.3)  # somewhere inside an epoch
    process.send_signal(number)
    code, _, err = finish(process)
    if number == signal.SIGKILL:
        assert code == -9
    else:
        assert code == 128 + number
        assert "Nothing is lost: run the same command again to resume." in err
        assert "Traceback" not in err
    assert not (tmp_path / "outputs" / folder / "metrics.json").exists()
    code, out, err = call("run.py", *tiny)
    assert code == 0, err
    assert "resuming from" in out
    expected, got = weights(undisturbed / folder), weights(tmp_path / "outputs" / folder)
    assert all(torch.equal(value, got[name]) for name, value in expected.items())
    roots = (undisturbed, tmp_path / "outputs")
    first, second = (json.loads((root / folder / "metrics.json").read_text()) for root in roots)
    assert first["test"] == second["test"]
    histories = [pd.read_csv(root / folder / "history.csv") for root in roots]
    # the training loss of the very batch at which a signal came may be missing
    pd.testing.assert_frame_equal(*(h.dropna(subset="val/ccc_mean", ignore_index=True) for h in histories))


def test_a_sweep_runs_every_row_and_each_has_its_own_wandb_run(tiny: list[str], tmp_path: Path) -> None:
    tiny = [o for o in tiny if o != "logger=none"]
    code, _, err = call("run.py", "-m", *tiny, "crl_formula=avce,none", "logger.mode=offline")
    assert code == 0, err
    runs = sorted((tmp_path / "outputs/wandb").glob("offline-run-*"))
    assert len(runs) == 2
    names = set()
    for run in runs:
        file = next(run.glob("*.wandb"))
        code, out, err = call("-m", "wandb", "leet", "inspect", "--summary", "--json", str(file))
        assert code == 0, err
        inspected = json.loads(out)
        names.add(str(inspected))
        assert "best/val/ccc_mean" in out
        assert "test/ccc_valence" in out
    assert any("al-avce-none-s0" in name for name in names)
    assert any("al-none-none-s0" in name for name in names)


def test_contact_sheet_and_csv_data_set(tmp_path: Path, tiny: list[str]) -> None:
    code, out, err = call("-m", "avce_pl", "data", "synthesize", "--contact-sheet", str(tmp_path / "faces.png"))
    assert code == 0, err
    assert (tmp_path / "faces.png").stat().st_size > 100_000
    faces = str(tmp_path / "faces")
    arguments = (
        "-m",
        "avce_pl",
        "data",
        "synthesize",
        "--layout",
        "csv",
        "--out",
        faces,
        "--train",
        "24",
        "--val",
        "8",
    )
    code, out, err = call(*arguments)
    assert code == 0, err
    assert f"python run.py dataset=csv root={faces}" in out
    code, _, err = call(*arguments)
    assert code == 1
    assert "is not empty. Give a new folder." in err
    mine = [override for override in tiny if "subject" not in override]
    code, out, err = call("run.py", *mine, "dataset=csv", f"root={faces}")
    assert code == 0, err
    assert "on the val split" in out
    code, _, err = call("-m", "avce_pl", "data", "synthesize")
    assert code == 1
    assert "Say what to write" in err


def test_avce_train_is_run_py_with_two_processes_too(tiny: list[str]) -> None:
    code, out, err = call("-m", "avce_pl", "train", *tiny, "trainer=ddp", "trainer.devices=2")
    assert code == 0, err
    assert out.count("picture:") == 1, "one process reports"
    code, _, err = call("-m", "avce_pl", "train", *tiny, "crl_formla=avce")
    assert (code, err.strip()) == (1, "Error: crl_formla is not a setting; did you mean crl_formula?")
    code, out, _ = call("-m", "avce_pl", "train", "--help")
    assert code == 0
    assert "crl_formula: " in out


def test_a_training_in_a_thread(tiny: list[str], tmp_path: Path) -> None:
    code = (
        "import sys, threading\n"
        "from tests.support.runs import train\n"
        "thread = threading.Thread(target=lambda: print('RESULT', train(sys.argv[1:])))\n"
        "thread.start(); thread.join()\n"
    )
    code_, out, err = call("-c", code, *tiny)
    assert code_ == 0, err
    assert "RESULT" in out, err
    assert list(tmp_path.rglob("metrics.json"))


def test_slurm_variables_without_srun(tiny: list[str], tmp_path: Path) -> None:
    slurm = {"SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "2", "SLURM_LOCALID": "0"}
    slurm |= {"SLURM_NODEID": "0", "SLURM_NODELIST": "localhost", "SLURM_PROCID": "0"}
    code, _, err = call("run.py", *tiny, env=os.environ | slurm)
    assert code == 0, err
    assert list(tmp_path.rglob("metrics.json"))
    code, _, err = call("run.py", *tiny, "name=second", env=os.environ | slurm | {"SLURM_PROCID": "1"})
    assert code == 1
    assert "srun started 2 tasks" in err
