import json
from pathlib import Path

import pytest

from avce_pl.cli.main import app
from avce_pl.errors import AvceError
from avce_pl.report.model_card import write_model_card


def test_the_card_says_what_the_record_says(trained: Path, capsys) -> None:
    app(["card", str(trained)], standalone_mode=False)
    card = (trained / "MODEL_CARD.md").read_text()
    record = json.loads((trained / "metrics.json").read_text())
    for axis in ("valence", "arousal"):
        cells = next(line for line in card.splitlines() if line.startswith(f"| {axis} |")).split(" | ")[1:]
        for name, cell in zip(("ccc", "pcc", "rmse", "sagr"), cells, strict=True):
            assert cell.split()[0] == f"{record['test'][f'test/{name}_{axis}']:.3f}"
    for text in (record["digest"][:16], "train 24, val 16, test 16", "whole subjects (2)", "Detecting lies", "MIT"):
        assert text in card
    assert "flatter" not in card
    (trained / "MODEL_CARD.md").unlink()


def test_what_is_not_a_finished_run_is_a_sentence(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(AvceError, match="holds no run"):
        write_model_card(tmp_path)
    (tmp_path / "config.yaml").write_bytes((trained / "config.yaml").read_bytes())
    with pytest.raises(AvceError, match="has not finished its training"):
        write_model_card(tmp_path)
