import math
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from scipy import stats
from torch import Tensor, nn
from torch.utils.data import DataLoader

from avce_pl.backbone.base import Backbone, latent_layers
from avce_pl.crl_formula import avce as formula
from avce_pl.crl_formula.none import NoCRL
from avce_pl.dataset.synthetic import SyntheticDataModule
from avce_pl.errors import AvceError
from avce_pl.feature_transform.closed_form import ClosedForm
from avce_pl.functional.agreement import ccc
from avce_pl.method.avce import AVCE
from avce_pl.mining.hard import HardMining
from avce_pl.mining.none import NoMining
from avce_pl.optimizer.cosine import Cosine
from avce_pl.similarity.angle import AngleSimilarity
from avce_pl.similarity.paper import PaperSimilarity

sys.path.insert(0, str(Path(__file__).parent.parent / "experiments"))

import frozen
import frozen_table
import frozen_training
from frozen_table import Row

SEEDS = (3, 5, 8)
INPUTS = 12
COUNT = 12


@pytest.fixture
def faces() -> frozen_training.Faces:
    """Random features from which the labels can be told, in float64."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(200, INPUTS, generator=generator, dtype=torch.float64).relu()
    labels = torch.tanh(features @ torch.randn(INPUTS, 2, generator=generator, dtype=torch.float64) / 4)
    return frozen_training.Faces(features, labels, torch.arange(0, 140), torch.arange(140, 200), "random")


class FeatureBackbone(Backbone):
    """Takes features for images."""

    def __init__(self, compressor: nn.Module) -> None:
        super().__init__()
        self.latent_dim = 32
        self.encoder = nn.Identity()
        self.compressor = compressor


def train_alone(faces: frozen_training.Faces, batches: Tensor, row: Row, seed: int) -> AVCE:
    """A training by the suite's own method, optimizers and Trainer: the slow twin."""
    torch.manual_seed(seed)
    method = AVCE(
        backbone=FeatureBackbone(nn.Sequential(*latent_layers(INPUTS, 32, None))),
        crl_formula=NoCRL() if row.pairs is None else formula.AVCE(pairs=row.pairs),
        mining=NoMining() if row.hardness is None else HardMining(form="reweight", concentration=row.hardness),
        similarity=AngleSimilarity() if row.similarity == "angle" else PaperSimilarity(),
        feature_transform=ClosedForm(),
        optimizer=Cosine(learning_rate=4e-4, head_learning_rate=1e-3, head_optimizer="adam"),
        seed=seed,
        update="shared",
        crl_weight=row.weight,
        regularisation_weight=0.01,
        shared_learning_rate_scale=1.0,
        dropout=0.0,
    ).double()
    data = [{"image": faces.features[rows], "label": faces.labels[rows]} for rows in batches]
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        precision="64-true",
    )
    trainer.fit(method, DataLoader(data, batch_size=None))
    return method


def predict_alone(faces: frozen_training.Faces, method: AVCE, trained_on: Tensor) -> Tensor:
    latent = method.backbone(faces.features)
    first, norm, _, second = list(method.regressor)[1:]
    hidden = first(latent)
    of = hidden[trained_on]
    hidden = (hidden - of.mean(0)) / (of.var(0) + norm.eps).sqrt()
    return second((hidden * norm.weight + norm.bias).relu())[faces.test].detach()


ROWS = [
    Row(None, None),
    Row(None, "aligned", 0.5),
    Row(100, "cross", 0.5),
    Row(None, "shuffled", 0.5),
    Row(None, "aligned", 0.5, hardness=4.0),
    Row(None, "cross", 0.5, similarity="angle"),
]


@pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_seed_of_a_stack_trains_as_the_suites_own_method_does(faces, row):
    drawn = [frozen.draw_batches(faces.train, seed, COUNT, row.labelled) for seed in SEEDS]
    *_, stacked = frozen_training.train_stacked(faces, torch.stack([batches for _, batches in drawn]), row, SEEDS)
    predictions = []
    for position, (seed, (own, batches)) in enumerate(zip(SEEDS, drawn, strict=True)):
        method = train_alone(faces, batches, row, seed)
        expected = predict_alone(faces, method, own)
        _, found = frozen_training.predict(faces, own, frozen_training.select(stacked, position))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)
        scores = frozen_training.evaluate(faces, own, row, frozen_training.select(stacked, position))
        assert [scores["ccc_valence"], scores["ccc_arousal"]] == pytest.approx(
            ccc(expected, faces.labels[faces.test]).tolist(), abs=1e-8
        )
        single = frozen_training.train_single(faces, batches, row, seed)
        torch.testing.assert_close(frozen_training.predict(faces, own, single)[1], expected, rtol=0, atol=1e-9)
        predictions.append(expected)
    assert (predictions[0] - predictions[1]).abs().max() > 0.01  # a seed that trained with another's data would show


def test_labelled_faces_are_the_seeds_own_and_every_epoch_takes_each_once(faces):
    own, batches = frozen.draw_batches(faces.train, 3, 6, 64)
    assert len(set(own.tolist())) == 64
    assert set(own.tolist()) < set(faces.train.tolist())
    assert batches.shape == (6, 32)
    for epoch in batches.reshape(3, 64).tolist():
        assert sorted(epoch) == sorted(own.tolist())
    assert not torch.equal(batches[:2], batches[2:4])  # another order
    other, _ = frozen.draw_batches(faces.train, 4, 6, 64)
    assert set(other.tolist()) != set(own.tolist())


def test_stacked_trainings_agree_and_cost_less(faces):
    cost = frozen.compare(faces, range(16), singles=2, count=3, rounds=1)
    assert cost.apart < 1e-10
    assert 0 < cost.ratio < 1


def test_finished_rows_are_not_trained_again(faces, tmp_path, monkeypatch):
    rows = [Row(None, None), Row(None, "aligned", 0.1)]
    whole = frozen.train_rows(faces, rows, SEEDS, 3, tmp_path / "whole")
    assert whole["row"].tolist() == [row.name for row in rows for _ in SEEDS]
    train_row = frozen.train_row

    def interrupted(faces, row, seeds, count) -> Iterator[pd.DataFrame | None]:
        if row == rows[1]:
            yield None
            raise KeyboardInterrupt
        yield from train_row(faces, row, seeds, count)

    monkeypatch.setattr(frozen, "train_row", interrupted)
    with pytest.raises(KeyboardInterrupt):
        frozen.train_rows(faces, rows, SEEDS, 3, tmp_path / "resumed")
    trained = []
    monkeypatch.setattr(
        frozen, "train_row", lambda faces, row, *rest: trained.append(row) or train_row(faces, row, *rest)
    )
    resumed = frozen.train_rows(faces, rows, SEEDS, 3, tmp_path / "resumed")
    assert trained == [rows[1]]
    pd.testing.assert_frame_equal(resumed, whole)
    frozen.train_rows(faces, rows[:1], SEEDS, 4, tmp_path / "resumed")  # another budget is another row
    assert trained == [rows[1], rows[0]]


ALIGNED, CROSS, SHUFFLED = (Row(None, pairs, 0.1) for pairs in ("aligned", "cross", "shuffled"))
HARD = Row(None, "aligned", 0.1, hardness=4.0)
GAINS = {Row(None, None): 0.0, ALIGNED: 0.05, CROSS: 0.02, SHUFFLED: 0.02, HARD: -0.03}


@pytest.fixture
def scores() -> pd.DataFrame:
    """Eight seeds; L_AVCE adds the row's gain to the trunk, with a little noise."""
    generator = torch.Generator().manual_seed(0)
    base = torch.rand(8, generator=generator)
    lines = []
    for row, gain in GAINS.items():
        mean = base + gain + 0.002 * torch.randn(8, generator=generator)
        for seed, value in enumerate(mean.tolist()):
            state = {} if row.pairs is None else dict.fromkeys(frozen_table.CONTRAST, 0.5)
            values = {"ccc_valence": value + 0.1, "ccc_arousal": value - 0.1, "ccc_mean": value}
            lines.append({"row": row.name, "seed": seed, **values, **state})
    return pd.DataFrame(lines).sample(frac=1, random_state=0)  # pairs are found by seed, not by place


def test_differences_are_paired_by_seed_and_hold_together(scores):
    found = frozen_table.compare_rows(scores, list(GAINS))
    trunk = Row(None, None)
    assert set(found) == {(row, trunk) for row in GAINS if row != trunk} | {
        (row, SHUFFLED) for row in (ALIGNED, CROSS, HARD)
    }
    for (row, other), difference in found.items():
        one, two = (scores[scores["row"] == r.name].sort_values("seed")["ccc_mean"].to_numpy() for r in (row, other))
        expected = stats.ttest_rel(one, two).confidence_interval(1 - 0.05 / 7)
        assert (difference.low, difference.high) == pytest.approx(tuple(expected))
        assert difference.value == pytest.approx((one - two).mean())
        assert difference.pairs == 8


def test_only_what_beats_trunk_and_control_is_said_to(scores, tmp_path):
    cost = frozen_table.Cost(0.2, 8, 4, 40, 3, 1e-12, 1e-3, 1e-3)
    again, few = scores.assign(seed=scores["seed"] + 1000), [Row(None, None), ALIGNED, SHUFFLED]
    frozen_table.write_table(
        scores, list(GAINS), again, few, cost, "python experiments/frozen.py --seeds 8", 1200, 20_000, tmp_path
    )
    lines = (tmp_path / "frozen.md").read_text().splitlines()
    assert lines[2].startswith("`python experiments/frozen.py --seeds 8` made this file")
    said = dict(
        line[2:].rstrip(".").split(": ", 1) for line in lines if line.startswith("- ") and "weight 0.1." in line
    )
    assert said == {
        "Above trunk and control, both intervals clear of zero": ALIGNED.name,
        "Above the trunk, but not clearly above the control": CROSS.name,
        "Controls above the trunk": SHUFFLED.name,
        "Clearly below the trunk": HARD.name,
    }
    cells = [line.strip("| ").split(" | ") for line in lines if line.startswith("| all | aligned | ")]
    value = scores[scores["row"] == ALIGNED.name]["ccc_valence"]
    assert cells[0][3] == f"{value.mean():.3f} ± {math.sqrt(value.var()):.3f}"
    assert len(pd.read_csv(tmp_path / "frozen.csv")) == 2 * len(scores)
    retest = frozen_table.compare_rows(scores, few)  # three comparisons, so narrower than in the table
    assert set(retest) == {(ALIGNED, few[0]), (ALIGNED, SHUFFLED), (SHUFFLED, few[0])}
    for (row, other), found in retest.items():
        assert f"- {row.name} minus {other.kind}: {found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}]" in lines


def test_the_program_writes_its_table_and_says_what_is_wrong_in_a_sentence(faces, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["frozen.py", "--seeds", "4", "--batches", "2", "--out", str(tmp_path)])
    monkeypatch.setattr(frozen, "ROWS", [Row(None, None), Row(None, "aligned", 0.1), Row(None, "shuffled", 0.1)])
    monkeypatch.setattr(frozen, "AGAIN", frozen.ROWS)
    monkeypatch.setattr(frozen, "OTHER_SEEDS", range(1000, 1008))
    monkeypatch.setattr(frozen, "compare", lambda *_: frozen_table.Cost(0.2, 4, 4, 40, 3, 1e-12, 1e-3, 1e-3))
    monkeypatch.setattr(frozen, "load_faces", lambda folder: faces)
    assert frozen.main() == 0
    assert (tmp_path / "frozen.md").read_text() in capsys.readouterr().out
    assert pd.read_csv(tmp_path / "frozen.csv")["seed"].tolist() == [
        *(3 * [0, 1, 2, 3]),
        *(3 * [1000, 1001, 1002, 1003]),
        *(3 * [1004, 1005, 1006, 1007]),
    ]

    monkeypatch.setattr(frozen, "load_faces", lambda folder: _raise(AvceError("The weights are missing. Fetch them.")))
    assert frozen.main() == 1
    assert capsys.readouterr().err == "The weights are missing. Fetch them.\n"
    monkeypatch.setattr(frozen, "load_faces", lambda folder: _raise(KeyboardInterrupt()))
    assert frozen.main() == 130
    assert "run the same command again to resume" in capsys.readouterr().err


def _raise(error: BaseException) -> None:
    raise error


def test_features_are_the_encoders_averages_of_centre_crops_row_by_row(cache, tmp_path, monkeypatch):
    torch.manual_seed(0)
    encoder = nn.Conv2d(3, 4, 5)
    few = {"train_subjects": 2, "val_subjects": 1, "test_subjects": 2, "images_per_subject": 3}
    made = partial(SyntheticDataModule, **few, cache_dir=str(cache))
    monkeypatch.setattr(frozen, "SyntheticDataModule", made)
    monkeypatch.setattr(frozen, "MobileNetV2", lambda weights: SimpleNamespace(encoder=encoder))
    faces = frozen.load_faces(tmp_path)
    data = made(image_size=96)
    edge = (data.resize_size - 96) // 2
    for row in range(15):
        image = torch.from_numpy(data.images[row][edge : edge + 96, edge : edge + 96].copy()).permute(2, 0, 1) / 255
        image = (image - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
            :, None, None
        ]
        torch.testing.assert_close(faces.features[row], encoder(image[None])[0].mean((1, 2)), rtol=1e-4, atol=1e-4)
        assert faces.labels[row].tolist() == data.index.loc[row, ["valence", "arousal"]].astype("float32").tolist()
    assert data.index["split"][faces.train.numpy()].eq("train").all()
    assert data.index["split"][faces.test.numpy()].eq("test").all()
    assert (len(faces.train), len(faces.test)) == (6, 6)
    monkeypatch.setattr(frozen, "MobileNetV2", lambda weights: _raise(AssertionError("computed twice")))
    assert torch.equal(frozen.load_faces(tmp_path).features, faces.features)
