import pytest
import torch

from avce_pl.mining.debiased import DebiasedMining
from avce_pl.mining.hard import HardMining
from avce_pl.mining.none import NoMining
from tests.support import reference

SCORES = torch.tensor([1.1207783791, 1.0818352644, 1.6868629150, 0.8264519567], dtype=torch.float64)
OPTIONS = {
    "none": NoMining(),
    "debiased": DebiasedMining(),
    "debiased reweight": DebiasedMining(form="reweight"),
    "hard": HardMining(),
    "hard deterministic": HardMining(deterministic=True),
    "hard reweight": HardMining(form="reweight", class_prior=0.1),
}


@pytest.mark.parametrize(
    ("mining", "kept"), [(DebiasedMining(), {3, 1, 0}), (HardMining(deterministic=True), {2, 0, 1})]
)
def test_selection_of_the_worked_example(mining, kept):
    assert mining(SCORES).weights.tolist() == pytest.approx(reference.selection(kept, 4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("mining", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("shape", [(1,), (9,), (9, 9), (3, 1)])
def test_weights_have_one_meaning(mining, shape, dtype):
    weights = mining(torch.randn(shape, dtype=dtype)).weights
    assert weights.shape == shape
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.mean(-1), torch.ones(shape[:-1]))
    assert 0 < mining(torch.randn(shape)).share_kept <= 1 + 1e-6


def test_correction_belongs_to_the_reweighting_forms():
    priors = {name: mining(SCORES).class_prior for name, mining in OPTIONS.items()}
    assert {name for name, prior in priors.items() if prior} == {"debiased reweight", "hard reweight"}


def test_reweighting():
    mining = HardMining(form="reweight", concentration=2.0)
    assert mining(SCORES).weights.tolist() == pytest.approx(reference.importance(SCORES.tolist(), 2.0))
    assert DebiasedMining(form="reweight")(SCORES).weights.tolist() == [1] * 4


def test_hard_draws_prefer_high_scores_and_repeat():
    scores = torch.linspace(0, 3, 100)
    mining = HardMining(share=0.5, concentration=2.0)

    def kept(seed):
        return mining(scores, torch.Generator().manual_seed(seed)).weights > 0

    assert kept(0).equal(kept(0))
    assert not kept(0).equal(kept(1))
    assert kept(0)[50:].sum() > 35


def test_equal_scores_are_weighted_evenly():
    scores = torch.zeros(10)
    assert HardMining(form="reweight")(scores).weights.equal(torch.ones(10))
    for mining in (DebiasedMining(), HardMining()):
        assert (mining(scores).weights > 0).sum() == 8
