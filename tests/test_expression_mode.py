"""The discrete mode from the data set to the record: the task changes everything behind it, and nothing else does."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from avce_pl.dataset.core.index import EXPRESSION_NAMES
from avce_pl.errors import AvceError
from avce_pl.training.build import load_run

EXPRESSION = ("dataset.task=expression", "dataset.labels=raf_db")
SEVEN = list(EXPRESSION_NAMES[:7])


def test_a_run_leaves_its_record(run, capsys) -> None:
    folder = run(*EXPRESSION)
    record = json.loads((folder / "metrics.json").read_text())
    table = pd.read_parquet(folder / "predictions.parquet")
    assert record["data"]["classes"] == SEVEN
    assert record["monitor"] == "val/accuracy"
    true, predicted = table["expression"].to_numpy(), table["predicted_expression"].to_numpy()
    confusion = np.zeros((7, 7), int)
    np.add.at(confusion, (true, predicted), 1)
    assert record["confusion"] == confusion.tolist()
    assert record["test"]["test/accuracy"] == pytest.approx((true == predicted).mean())
    seen = sorted({*true, *predicted})
    recalls = [(predicted[true == code] == code).mean() if (true == code).any() else 0.0 for code in seen]
    assert record["test"]["test/accuracy_macro"] == pytest.approx(np.mean(recalls))
    probabilities = table[[f"probability_{name.lower()}" for name in SEVEN]].to_numpy()
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    np.testing.assert_array_equal(probabilities.argmax(1), predicted)
    assert "predicted_valence" not in table
    history = pd.read_csv(folder / "history.csv")
    assert history["val/accuracy"].max() == pytest.approx(record["best"]["val/accuracy"])
    with Image.open(folder / "figure.png") as figure:
        assert figure.width > 1000
    faces = pd.read_parquet(folder / "test_faces.parquet")
    assert set(faces["expression"]) == set(true)
    assert "accuracy" in capsys.readouterr().out


def test_the_resolved_monitor_is_on_record(run) -> None:
    for overrides, monitor in (((), "val/ccc_mean"), ((*EXPRESSION, "name=expression"), "val/accuracy")):
        folder = run(*overrides)
        assert yaml.safe_load((folder / "config.yaml").read_text())["callbacks"]["monitor"] == monitor
        assert json.loads((folder / "identity.json").read_text())["callbacks.monitor"] == monitor


def test_the_same_folder_does_not_hold_two_tasks(run) -> None:
    run()
    with pytest.raises(AvceError, match=r"dataset.classes \(there None, now 7\)"):
        run("dataset.task=expression")


def test_load_run_gives_the_logits_of_what_was_recorded(run) -> None:
    import io

    from avce_pl.dataset.core.augmentation import normalise

    folder = run(*EXPRESSION)
    module = load_run(folder)
    faces = pd.read_parquet(folder / "test_faces.parquet")
    images = np.stack([np.asarray(Image.open(io.BytesIO(png))) for png in faces["png"]])
    with torch.no_grad():
        logits = module(normalise(torch.tensor(images).permute(0, 3, 1, 2)))
    assert logits.shape == (len(faces), 7)
    columns = [f"probability_{name.lower()}" for name in SEVEN]
    np.testing.assert_allclose(logits.softmax(1).numpy(), faces[columns], atol=1e-4)


def test_a_finished_run_is_already_done(run, caplog) -> None:
    run(*EXPRESSION)
    caplog.set_level("INFO")
    run(*EXPRESSION)
    assert "already done" in caplog.text


@pytest.mark.parametrize(
    "overrides",
    [
        ["preset=official"],
        ["crl_formula=infonce", "crl_formula.pairs=cross", "mining=hard"],
        ["crl_formula=barlow_twins", "mining=debiased"],
        ["crl_formula=none"],
        ["method.update=two_phase"],
    ],
    ids=" ".join,
)
def test_every_formula_works_on_logits(run, overrides: list[str]) -> None:
    folder = run(*EXPRESSION, *overrides)
    assert 0 <= json.loads((folder / "metrics.json").read_text())["test"]["test/accuracy"] <= 1


@pytest.mark.parametrize("monitor", ["val/ccc_mean", "val/acuracy", "train/loss"])
def test_a_monitor_of_another_task_is_a_sentence(run, monitor: str) -> None:
    with pytest.raises(AvceError, match=f"callbacks.monitor={monitor} is not a validation score to maximise"):
        run(*EXPRESSION, f"callbacks.monitor={monitor}")
