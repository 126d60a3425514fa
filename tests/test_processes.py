"""Two processes train, evaluate, stop and go on as one does."""

import signal
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from tests.support.commands import call, finish, start, weights

Results = dict[str, dict[str, Any]]
FOLDER = "demo/synthetic/avce/al/avce/none/seed_0"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Results]:
    """What one process, and two, have made of the cases of `two_processes.py`."""
    folder = tmp_path_factory.mktemp("processes")
    started = [start("-m", "tests.support.two_processes", str(processes), str(folder)) for processes in (1, 2)]
    for process in started:
        code, out, err = finish(process)
        assert code == 0, out + err
    one, two = (torch.load(folder / f"{processes}.pt", weights_only=True) for processes in (1, 2))
    return one, two


@pytest.mark.parametrize(
    # A bias before BatchNorm has no gradient but rounding errors, of which Adam makes steps of 1e-8; the losses do not
    # see it, evaluation does.
    ("kind", "tolerance"),
    [("losses", 1e-8), ("weights", 1e-6), ("metrics", 1e-5)],
)
def test_it_is_what_one_process_does(results: tuple[Results, Results], kind: str, tolerance: float) -> None:
    one, two = results
    assert len(one["avce for 50 steps"]["losses"]) == 50
    double = {name: expected for name, expected in one.items() if "float32" not in name}
    assert len(double) == 22
    for name, expected in double.items():
        exact = 1e-9 if name == "no BatchNorm in the heads" else tolerance
        torch.testing.assert_close(
            two[name][kind],
            expected[kind],
            rtol=0,
            atol=exact,
            msg=lambda text: f"{name}: {text}",  # noqa: B023
        )


def test_it_is_what_one_process_does_in_single_precision_too(results: tuple[Results, Results]) -> None:
    """To 1e-5, but for what has no gradient: biases before BatchNorm, which its means follow and nothing sees.

    AVCE for 10 steps only: where an entry leaves SparseMax's support one rounding earlier, trainings part.
    """
    one, two = results
    idle = ("encoder.0.bias", "regressor.1.bias", "head.0.bias", "layers.0.bias", "running_mean")
    single = [name for name in one if "float32" in name]
    assert len(single) == 3
    for name in single:
        losses, expected = ([batch["train/loss"] for batch in runs[name]["losses"]] for runs in (two, one))
        assert len(losses) == (10 if name.startswith("avce") else 50)
        torch.testing.assert_close(losses, expected, rtol=0, atol=1e-5)
        for key, expected in one[name]["weights"].items():
            if not key.endswith(idle):
                torch.testing.assert_close(two[name]["weights"][key], expected, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_run_of_two_processes_is_whole_and_goes_on_after_a_signal_to_one(tiny: list[str], tmp_path: Path) -> None:
    tiny = [*tiny, "trainer=ddp", "trainer.max_epochs=6", "dataset.images_per_subject=32", "method.dropout=0.5"]
    undisturbed = tmp_path / "undisturbed"
    code, out, err = call("run.py", *tiny, f"output_root={undisturbed}")
    assert code == 0, err
    assert out.count("on the test split") == 1
    assert len(pd.read_parquet(undisturbed / FOLDER / "predictions.parquet")) == 64
    process = start("run.py", *tiny)
    last = tmp_path / "outputs" / FOLDER / "checkpoints/last.ckpt"
    while not last.exists():
        assert process.poll() is None, finish(process)
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    code, _, err = finish(process)
    assert code == 128 + signal.SIGTERM, err
    assert err.count("Nothing is lost: run the same command again to resume.") == 1
    assert "Traceback" not in err
    code, out, err = call("run.py", *tiny)
    assert code == 0, err
    assert "resuming from" in out
    expected, got = weights(undisturbed / FOLDER), weights(tmp_path / "outputs" / FOLDER)
    assert all(torch.equal(value, got[name]) for name, value in expected.items())
