import json
from pathlib import Path

import pytest
import torch
import yaml

from avce_pl.errors import AvceError
from avce_pl.inference.import_released import import_official
from avce_pl.training.build import load_run
from tests.support.reference_official import released, save


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints/best.ckpt", weights_only=True)["state_dict"]


def test_a_run_starts_from_another_and_says_so(run, trained: Path, caplog) -> None:
    caplog.set_level("INFO")
    # a learning rate this small leaves the weights where they were
    folder = run("method.batch_norm=false", f"init_from={trained}", "optimizer.learning_rate=1e-12")
    assert "weights of backbone, regressor, projection_head, discriminative_head from" in caplog.text
    before, after = weights(trained), weights(folder)
    for name, value in before.items():
        if name.startswith(("backbone.", "regressor.")):
            torch.testing.assert_close(after[name], value, atol=1e-5, rtol=1e-5)  # of recomputed statistics
    identity = json.loads((folder / "identity.json").read_text())
    assert identity["init_from"] == json.loads((trained / "metrics.json").read_text())["digest"]
    caplog.clear()
    run("method.batch_norm=false", f"init_from={trained}", "optimizer.learning_rate=1e-12")
    assert "already done" in caplog.text
    with pytest.raises(AvceError, match=r"init_from \(there [0-9a-f]+, now None\)"):
        run("method.batch_norm=false", "optimizer.learning_rate=1e-12")


def test_a_frozen_encoder_stays_as_it_was(run, tmp_path: Path) -> None:
    """With BatchNorm in the encoder, whose statistics move in training even without a gradient."""
    source = run("backbone=r18", "name=source")
    folder = run("backbone=r18", f"init_from={source}", "freeze=encoder")
    before, after = weights(source), weights(folder)
    encoder = [name for name in before if name.startswith("backbone.encoder.")]
    assert any("running_mean" in name for name in encoder)
    assert all(torch.equal(before[name], after[name]) for name in encoder)
    assert not torch.equal(before["backbone.compressor.4.weight"], after["backbone.compressor.4.weight"])
    states = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["optimizer_states"]
    module = load_run(folder)
    trains = [*module.backbone.compressor.parameters(), *module.regressor.parameters()]
    assert len(states[0]["param_groups"][0]["params"]) == len(trains), "frozen parameters are in no optimizer"


def test_heads_of_another_shape_begin_anew(run, trained: Path, caplog) -> None:
    caplog.set_level("INFO")
    run(f"init_from={trained}")  # with BatchNorm in the heads, which the source lacks
    assert "weights of backbone from" in caplog.text
    assert "regressor, projection_head, discriminative_head from scratch" in caplog.text


def test_the_authors_weights_are_a_start(run, tmp_path: Path) -> None:
    made = import_official(*save(tmp_path, *released("al")), "al", tmp_path / "official")
    folder = run("preset=official", f"init_from={made.folder}", "freeze=encoder")
    assert torch.equal(weights(folder)["backbone.encoder.0.weight"], weights(made.folder)["backbone.encoder.0.weight"])


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["init_from=nowhere"], "nowhere holds no trained run"),
        (["init_from=SOURCE", "backbone=r18"], "has another backbone"),
        (["init_from=SOURCE", "backbone.weights=x.pt"], "init_from and backbone.weights both"),
        (["freeze=encoder"], "freeze=encoder would keep random weights"),
        (["freeze=everything"], "freeze=everything does not work"),
    ],
)
def test_mistakes_are_sentences(run, trained: Path, overrides: list[str], sentence: str) -> None:
    with pytest.raises(AvceError, match=sentence):
        run(*(override.replace("SOURCE", str(trained)) for override in overrides))


def test_a_run_that_is_still_training_is_no_start(run, trained: Path, tmp_path: Path) -> None:
    for name in ("config.yaml", "identity.json", "checkpoints/best.ckpt"):
        (tmp_path / "young" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "young" / name).write_bytes((trained / name).read_bytes())
    with pytest.raises(AvceError, match="has not finished its training"):
        run(f"init_from={tmp_path / 'young'}")


def test_runs_from_scratch_keep_their_identity(trained: Path) -> None:
    """So that finished runs of older versions are still theirs."""
    assert not {"init_from", "freeze"} & set(json.loads((trained / "identity.json").read_text()))
    assert yaml.safe_load((trained / "config.yaml").read_text())["freeze"] == "none"
