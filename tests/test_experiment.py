import json
import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from avce_pl.config.override_errors import CONF
from avce_pl.config.settings import read_settings
from avce_pl.errors import AvceError
from avce_pl.metrics.valence_arousal import ValenceArousalMetrics
from avce_pl.training.build import build_datamodule, build_module, load_run


def test_a_run_leaves_its_record(run) -> None:
    folder = run()
    assert folder.parts[-7:] == ("demo", "synthetic", "avce", "al", "avce", "none", "seed_0")
    files = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert files == {
        ".lock",
        "config.yaml",
        "identity.json",
        "history.csv",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "predictions.parquet",
        "test_faces.parquet",
        "figure.png",
        "metrics.json",
    }
    record = json.loads((folder / "metrics.json").read_text())
    assert record["data"]["rows"] == {"train": 24, "val": 16, "test": 16}
    table = pd.read_parquet(folder / "predictions.parquet")
    assert len(table) == 16
    metrics = ValenceArousalMetrics()
    metrics.update(
        torch.tensor(table[["predicted_valence", "predicted_arousal"]].to_numpy()),
        torch.tensor(table[["valence", "arousal"]].to_numpy()),
    )
    for name, value in metrics.compute().items():
        assert record["test"][f"test/{name}"] == pytest.approx(float(value), abs=1e-6)
    with Image.open(folder / "figure.png") as figure:
        assert figure.width > 1000
    history = pd.read_csv(folder / "history.csv")
    assert history["val/ccc_mean"].notna().sum() == 2
    assert history["val/ccc_mean"].max() == pytest.approx(record["best"]["val/ccc_mean"])


def test_a_run_of_fewer_batches_than_are_logged_has_its_picture(run) -> None:
    assert (run("trainer.log_every_n_steps=50") / "figure.png").exists()


def test_losses_belong_to_the_same_batches_however_often_they_are_logged(run) -> None:
    every, second, last = (
        pd.read_csv(run(f"trainer.log_every_n_steps={n}", f"name=every_{n}") / "history.csv").set_index("step")
        for n in (1, 2, 50)
    )
    columns = [column for column in every if column.startswith("train/loss")]
    assert {"train/loss", "train/loss_supervised", "train/loss_crl", "train/loss_regularisation"} <= set(columns)
    rows = {n: table[columns].dropna() for n, table in ((1, every), (2, second), (50, last))}
    assert {n: list(table.index) for n, table in rows.items()} == {1: [0, 1, 2, 3, 4, 5], 2: [1, 2, 3, 5], 50: [2, 5]}
    for table in (rows[2], rows[50]):
        pd.testing.assert_frame_equal(table, rows[1].loc[table.index], check_exact=True)
    measured = [column for column in every if column.startswith("train/contrast_")]
    assert len(measured) == 8
    pd.testing.assert_frame_equal(last[measured].dropna(), every[measured].dropna(), check_exact=True)


def test_the_record_says_what_the_contrast_did(run) -> None:
    folder = run("trainer.max_epochs=3", "optimizer.learning_rate=0.1")  # so that the best epoch is not the last
    record = json.loads((folder / "metrics.json").read_text())
    history = pd.read_csv(folder / "history.csv")
    scores = history["val/ccc_mean"].dropna().tolist()
    assert scores.index(max(scores)) < 2
    measured = history.groupby("epoch")["train/contrast_views"].mean()
    assert record["contrast"]["views"] == pytest.approx(measured[2])
    assert record["contrast"]["views"] != pytest.approx(measured[scores.index(max(scores))])
    assert record["contrast"]["alive"] is True
    assert record["contrast"]["views"] > 0.1
    assert (record["encoder_map"], record["updates"]) == ([2, 2], 9)
    without = json.loads((run("crl_formula=none") / "metrics.json").read_text())
    assert "contrast" not in without


def test_every_seed_varies_weights_and_order(tiny: list[str]) -> None:
    weights, orders = [], []
    for seed in (0, 1, 2):
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = OmegaConf.to_container(compose("config", [*tiny, f"seed={seed}"]), resolve=True)
        one = read_settings(config)
        datamodule = build_datamodule(one)
        datamodule.prepare_data()
        datamodule.setup("fit")
        orders.append(torch.cat([batch["row"] for batch in datamodule.train_dataloader()]).tolist())
        weights.append([p.detach() for p in build_module(one).parameters() if p.ndim > 1])
    assert all(first != second for first, second in combinations(orders, 2))
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(orders[2])
    for pair in combinations(weights, 2):
        assert not any(torch.equal(first, second) for first, second in zip(*pair, strict=True))


def test_the_same_command_again_is_already_done(run, caplog) -> None:
    folder = run()
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.name != ".lock"}
    caplog.set_level("INFO")
    assert run() == folder
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.name != ".lock"} == before
    assert "already done" in caplog.text


def test_the_same_command_elsewhere_gives_the_same_numbers(run, tmp_path) -> None:
    records, weights = [], []
    for place in ("first", "second"):
        folder = run(f"output_root={tmp_path / place}", "dataset.num_workers=0", "name=other")
        records.append(json.loads((folder / "metrics.json").read_text()))
        weights.append(torch.load(folder / "checkpoints/best.ckpt", weights_only=True)["state_dict"])
    assert records[0]["test"] == records[1]["test"]
    assert records[0]["digest"] == records[1]["digest"]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_other_settings_in_the_same_folder_are_refused(run) -> None:
    folder = run()
    with pytest.raises(AvceError) as error:
        run("optimizer.learning_rate=0.1", "crl_formula.alpha=0.7")
    assert "crl_formula.alpha (there 0.5, now 0.7)" in str(error.value)
    assert "optimizer.learning_rate (there 0.0007, now 0.1)" in str(error.value)
    assert "force=true" in str(error.value)
    old = json.loads((folder / "metrics.json").read_text())
    run("optimizer.learning_rate=0.1", "crl_formula.alpha=0.7", "force=true")
    assert json.loads((folder / "metrics.json").read_text())["digest"] != old["digest"]


def test_settings_that_do_not_change_the_result_are_not_refused(run, caplog) -> None:
    caplog.set_level("INFO")
    run()
    run("dataset.num_workers=1", "trainer.num_threads=1")
    assert "already done" in caplog.text


def test_load_run_predicts_what_was_recorded(run) -> None:
    folder = run()
    module = load_run(folder)
    faces = pd.read_parquet(folder / "test_faces.parquet")
    import io

    from avce_pl.dataset.core.augmentation import normalise

    images = np.stack([np.asarray(Image.open(io.BytesIO(png))) for png in faces["png"]])
    with torch.no_grad():
        prediction = module(normalise(torch.tensor(images).permute(0, 3, 1, 2))).numpy()
    np.testing.assert_allclose(prediction, faces[["predicted_valence", "predicted_arousal"]], atol=1e-4)


def test_a_folder_without_a_run_is_a_sentence(tmp_path) -> None:
    with pytest.raises(AvceError, match="holds no trained run"):
        load_run(tmp_path)


@pytest.mark.parametrize("method", ["avce", "caf", "baseline"])
def test_half_precision_trains(run, method: str) -> None:
    folder = run(f"method={method}", "trainer.precision=bf16-mixed")
    record = json.loads((folder / "metrics.json").read_text())
    assert all(math.isfinite(value) for value in record["test"].values())


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["trainer.precision=16-mixed"], "trainer.precision=16-mixed is refused"),
        (["dataset=csv", "root=/nowhere/faces"], "/nowhere/faces"),
        (["dataset=csv"], "root"),
        (["dataset.image_size=64", "dataset.resize_size=32"], "dataset.resize_size=32 is smaller"),
        (["dataset.level=high"], "dataset.level=high does not work"),
        (["+mining.shrae=0.5"], "mining.shrae is not a setting"),
        (["+foo=1"], "foo is not a setting"),
        (["dataset.image_size=62"], "dataset.image_size=62 is too small for backbone=al, which needs 63"),
    ],
)
def test_mistakes_are_sentences(run, overrides: list[str], sentence: str) -> None:
    with pytest.raises(AvceError) as error:
        run(*overrides)
    assert sentence in str(error.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for what a machine without CUDA lacks")
def test_cuda_that_is_not_there_is_a_sentence(run) -> None:
    with pytest.raises(AvceError, match=r"torch finds no CUDA device here. Use trainer.accelerator=cpu"):
        run("trainer.accelerator=gpu")


def test_a_folder_that_cannot_be_made_is_a_sentence(run, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AvceError, match=r"cannot be written: Not a directory\. Give another output_root"):
        run(f"output_root={tmp_path / 'file' / 'outputs'}")


def test_a_failed_run_leaves_its_traceback_and_runs_again(run, monkeypatch) -> None:
    from avce_pl.method.avce import AVCE

    def explode(*_):
        raise RuntimeError("a defect")

    original = AVCE.phase_one
    monkeypatch.setattr(AVCE, "phase_one", explode)
    with pytest.raises(RuntimeError):
        run()
    monkeypatch.setattr(AVCE, "phase_one", original)
    folder = run()
    assert (folder / "metrics.json").exists()
    assert not (folder / "failed.txt").exists()


def test_two_processes_do_not_share_a_folder(run) -> None:
    import fcntl

    folder = run()
    with Path(folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(AvceError, match="Another process is working in"):
            run()
