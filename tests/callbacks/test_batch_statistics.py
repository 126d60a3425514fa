"""BatchNorm's running statistics belong to the weights that they are saved with."""

import json
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from avce_pl.config.settings import read_settings
from avce_pl.runs.folder import open_run
from avce_pl.training.build import build_datamodule, load_run


def test_the_saved_statistics_are_those_of_training_images_with_the_saved_weights(run) -> None:
    folder: Path = run("method.batch_norm=true")
    module = load_run(folder).eval()
    datamodule = build_datamodule(read_settings(open_run(folder).config))
    datamodule.prepare_data()
    datamodule.setup("fit")
    batches = list(datamodule.statistics_dataloader(16))
    assert len(batches) == 3, "24 training faces in batches of 8"
    rows = torch.cat([batch["row"] for batch in batches])
    assert len(set(rows.tolist())) == 24
    assert torch.equal(rows, torch.cat([batch["row"] for batch in datamodule.statistics_dataloader(16)]))
    norms = [layer for layer in module.backbone.compressor if isinstance(layer, nn.BatchNorm1d)]
    assert len(norms) == 1, "of z, before its ReLU"
    seen: list[torch.Tensor] = []
    norms[0].register_forward_hook(lambda _layer, inputs, _output: seen.append(inputs[0].detach()))
    with torch.no_grad():
        for batch in batches:
            module(datamodule.on_after_batch_transfer(batch, 0)["image"])
    mean = torch.stack([z.sum(0) / len(z) for z in seen]).mean(0)
    variance = torch.stack([((z - z.mean(0)) ** 2).sum(0) / (len(z) - 1) for z in seen]).mean(0)
    torch.testing.assert_close(norms[0].running_mean, mean, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(norms[0].running_var, variance, atol=1e-4, rtol=1e-4)


def test_training_is_the_same_with_and_without(run) -> None:
    with_, without = (run(f"callbacks.statistics_batches={count}", f"name=with_{count}") for count in (16, 0))
    losses = [pd.read_csv(folder / "history.csv")["train/loss"].dropna().tolist() for folder in (with_, without)]
    assert losses[0] == losses[1]
    scores = [json.loads((folder / "metrics.json").read_text())["test"]["test/ccc_mean"] for folder in (with_, without)]
    assert scores[0] != scores[1]


def test_a_network_that_stays_frozen_keeps_its_statistics(run) -> None:
    source = run("backbone=r18", "name=source")
    folder = run("backbone=r18", f"init_from={source}", "freeze=encoder")
    before, after = (load_run(one).backbone.encoder.state_dict() for one in (source, folder))
    assert all(torch.equal(before[name], after[name]) for name in before)
