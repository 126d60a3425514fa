from pathlib import Path

import pandas as pd
import pytest

from avce_pl.errors import AvceError
from avce_pl.training.callbacks.history import History


def test_values_of_a_step_share_a_row_and_test_values_are_left_out(tmp_path) -> None:
    history = History(tmp_path / "history.csv")
    history.log_metrics({"train/loss": 1.0, "epoch": 0}, step=10)
    history.log_metrics({"val/ccc_mean": 0.5, "epoch": 0}, step=10)
    history.log_metrics({"train/loss": 0.5, "epoch": 1}, step=20)
    history.log_metrics({"test/ccc_mean": 0.4}, step=20)
    history.finalize("success")
    table = pd.read_csv(tmp_path / "history.csv")
    assert table["step"].tolist() == [10, 20]
    assert table.columns.tolist() == ["step", "train/loss", "epoch", "val/ccc_mean"]


def test_a_resumed_run_keeps_the_rows_before_it(tmp_path) -> None:
    first = History(tmp_path / "history.csv")
    for step in (10, 20, 30):
        first.log_metrics({"train/loss": float(step)}, step)
    first.finalize("failed")
    second = History(tmp_path / "history.csv")
    for step in (20, 30, 40):  # the checkpoint was taken at step 15
        second.log_metrics({"train/loss": -float(step)}, step)
    second.save()
    table = pd.read_csv(tmp_path / "history.csv")
    assert table["train/loss"].tolist() == [10, -20, -30, -40]


@pytest.mark.parametrize("damaged", [b"", b"\xf2\x9d", b"a,b\n1,2\n"])
def test_a_damaged_one_is_a_sentence(damaged: bytes, tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_bytes(damaged)
    history = History(tmp_path / "history.csv")
    with pytest.raises(AvceError, match=r"history.csv is damaged .* Delete it"):
        history.log_metrics({"train/loss": 1.0}, 20)
