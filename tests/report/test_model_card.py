import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from avce_pl.cli import app
from avce_pl.errors import AvceError
from avce_pl.report.model_card import RESAMPLES, intervals, write_model_card


def predictions(people: int = 12, each: int = 15) -> pd.DataFrame:
    """Predictions whose errors belong to people more than to images."""
    rng = np.random.default_rng(0)
    label = rng.uniform(-1, 1, (people * each, 2))
    offset = np.repeat(rng.normal(0, 0.4, (people, 2)), each, axis=0)
    predicted = 0.7 * label + offset + rng.normal(0, 0.1, label.shape)
    columns = {"valence": label[:, 0], "arousal": label[:, 1]}
    columns |= {"predicted_valence": predicted[:, 0], "predicted_arousal": predicted[:, 1]}
    return pd.DataFrame(columns | {"subject": np.repeat([f"p{i}" for i in range(people)], each)})


def ccc(y: np.ndarray, p: np.ndarray) -> float:
    return float(2 * np.cov(y, p, bias=True)[0, 1] / (y.var() + p.var() + (y.mean() - p.mean()) ** 2))


@pytest.mark.parametrize("unit", [None, "subject"])
def test_intervals_are_those_of_a_plain_bootstrap(unit: str | None) -> None:
    table = predictions()
    found = intervals(table, unit)
    y, p = table["arousal"].to_numpy(), table["predicted_arousal"].to_numpy()
    assert found["ccc_arousal"][0] == pytest.approx(ccc(y, p))
    assert found["pcc_arousal"][0] == pytest.approx(np.corrcoef(y, p)[0, 1])
    assert found["rmse_arousal"][0] == pytest.approx(np.sqrt(np.mean((y - p) ** 2)))
    assert found["sagr_arousal"][0] == pytest.approx(np.mean(np.sign(y) == np.sign(p)))
    rng = np.random.default_rng(7)
    groups = [np.flatnonzero(table["subject"] == s) for s in table["subject"].unique()] if unit else np.arange(len(y))
    drawn = []
    for _ in range(RESAMPLES):
        chosen = [groups[i] for i in rng.integers(len(groups), size=len(groups))]
        rows = np.concatenate(chosen) if unit else np.array(chosen)
        drawn.append(ccc(y[rows], p[rows]))
    np.testing.assert_allclose(found["ccc_arousal"][1:], np.quantile(drawn, (0.025, 0.975)), atol=0.02)


def test_people_not_images_are_resampled() -> None:
    table = predictions()
    (_, low, high), (_, narrow_low, narrow_high) = (intervals(table, unit)["ccc_valence"] for unit in ("subject", None))
    assert high - low > 1.5 * (narrow_high - narrow_low)


def test_a_constant_prediction_has_no_agreement() -> None:
    found = intervals(predictions().assign(predicted_valence=0.2), "subject")
    assert found["ccc_valence"] == pytest.approx((0, 0, 0), abs=1e-9)
    assert found["pcc_valence"][0] == pytest.approx(0, abs=1e-6)


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


def test_what_is_no_finished_run_is_a_sentence(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(AvceError, match="holds no run"):
        write_model_card(tmp_path)
    (tmp_path / "config.yaml").write_bytes((trained / "config.yaml").read_bytes())
    with pytest.raises(AvceError, match="has not finished its training"):
        write_model_card(tmp_path)
