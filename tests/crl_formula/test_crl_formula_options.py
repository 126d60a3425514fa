import inspect
from importlib import import_module
from pathlib import Path

import pytest
import torch
import yaml

from avce_pl.crl_formula.avce import AVCE
from avce_pl.crl_formula.barlow_twins import BarlowTwins
from avce_pl.crl_formula.infonce import InfoNCE
from avce_pl.crl_formula.none import NoCRL
from avce_pl.errors import AvceError
from avce_pl.functional.agreement import ccc_loss, pcc_loss
from avce_pl.mining.debiased import DebiasedMining
from avce_pl.mining.hard import HardMining
from avce_pl.mining.none import NoMining
from avce_pl.similarity.angle import AngleSimilarity
from avce_pl.similarity.official import OfficialSimilarity
from avce_pl.similarity.paper import PaperSimilarity
from tests.support import reference

X, Y_A, Y_N, LABEL = (
    torch.tensor(v, dtype=torch.float64) for v in (reference.X, reference.Y_A, reference.Y_N, reference.LABEL)
)
FORMULAS = {
    "avce": AVCE(),
    "avce cross": AVCE(pairs="cross"),
    "avce shuffled": AVCE(pairs="shuffled"),
    "infonce": InfoNCE(),
    "infonce cross": InfoNCE(pairs="cross", temperature=0.5),
    "infonce shuffled": InfoNCE(pairs="shuffled"),
    "barlow twins": BarlowTwins(),
    "barlow twins shuffled": BarlowTwins(pairs="shuffled"),
    "none": NoCRL(),
}
MININGS = {
    "none": NoMining(),
    "debiased": DebiasedMining(),
    "debiased reweight": DebiasedMining(form="reweight"),
    "hard": HardMining(),
    "hard deterministic": HardMining(deterministic=True),
    "hard reweight": HardMining(form="reweight"),
    "hard debiased": HardMining(form="reweight", class_prior=0.1),
}
SIMILARITIES = {
    "paper": PaperSimilarity(),
    "angle": AngleSimilarity(),
    "official": OfficialSimilarity(),
}


def loss(formula, similarity="paper", mining="none", views=(X, Y_A, Y_N)):
    return formula(*views, SIMILARITIES[similarity], MININGS[mining]).loss.item()


@pytest.mark.parametrize(
    ("formula", "similarity", "mining", "expected"),
    [
        ("avce", "paper", "none", -0.5803312399831),
        ("avce", "angle", "none", -0.5959736525520),
        ("avce", "paper", "debiased reweight", -0.6267468589126),
        ("avce", "paper", "hard reweight", -0.4566174066934),
        ("avce", "paper", "debiased", -0.7780402237377),
        ("avce", "paper", "hard deterministic", -0.4544314259176),
        ("infonce", "angle", "none", -0.3833492012430),
        ("infonce", "paper", "none", -0.3165975616533),
        ("infonce", "paper", "debiased reweight", -0.3608269625625),
        ("infonce", "paper", "hard reweight", -0.2046317796868),
        ("infonce", "paper", "hard debiased", -0.2319137443225),
        ("infonce cross", "paper", "none", 1.1382758554585),
        ("barlow twins", "paper", "none", 0.0276190253069),
    ],
)
def test_worked_example(formula, similarity, mining, expected):
    assert loss(FORMULAS[formula], similarity, mining) == pytest.approx(expected, abs=5e-12)


def test_worked_example_of_cross_infonce_without_temperature():
    assert loss(InfoNCE(pairs="cross", temperature=1.0)) == pytest.approx(1.3160334476038, abs=1e-12)


def test_avce_cross_is_the_relative_predictive_coding_objective():
    scores = torch.arange(16, dtype=torch.float64).reshape(4, 4) / 10

    class Table(PaperSimilarity):
        def __call__(self, x, y):
            return scores.diagonal()

        def pairwise(self, x, y):
            return scores

    value = AVCE(pairs="cross")(X, Y_A, Y_N, Table(), NoMining()).loss.item()
    assert value == pytest.approx(-0.1873958333333, abs=1e-12)


@pytest.mark.parametrize("mining", [DebiasedMining(share=1.0), HardMining(share=1.0)])
def test_keeping_all_pairs_is_no_mining(mining):
    value = AVCE()(X, Y_A, Y_N, PaperSimilarity(), mining).loss.item()
    assert value == pytest.approx(-0.5803312399831, abs=1e-12)


def test_released_loss_and_gradients():
    views = [view.clone().requires_grad_() for view in (X, Y_A, Y_N)]
    similarity = OfficialSimilarity(sign_pairing="broadcast")
    result = AVCE(reduction="sum")(*views, similarity, NoMining())
    objective = -result.loss
    gradients = torch.autograd.grad(objective, views)
    assert objective.item() == pytest.approx(0.5665872477776, abs=1e-12)
    expected = [
        (1.1519954400225, 1.3894122140981),
        (-0.374740771314, -0.699235877701),
        (0.762796305324, -0.675697983927),
    ]
    for gradient, row in zip(gradients, expected, strict=True):
        assert gradient[0].tolist() == pytest.approx(row, abs=1e-12)
    phase_one = (
        (X - LABEL).square().mean(0).sum()
        + pcc_loss(X, LABEL, official=True) / 2
        + ccc_loss(X, LABEL, official=True) / 2
        + 1e-4 * result.loss
    )
    assert phase_one.item() == pytest.approx(0.2830023226647, abs=1e-12)


def slow_weights(mining, scores):
    """Weights of a mining option by name, from scores as they stand in the exponent."""
    ranked = sorted(range(len(scores)), key=lambda i: scores[i])
    kept = max(1, int(0.8 * len(scores)))
    if mining == "debiased":
        return reference.selection(set(ranked[:kept]), len(scores))
    if mining == "hard deterministic":
        return reference.selection(set(ranked[-kept:]), len(scores))
    return reference.importance(scores, 1.0) if mining in ("hard reweight", "hard debiased") else None


@pytest.mark.parametrize("mining", [name for name in MININGS if name != "hard"])
@pytest.mark.parametrize("size", [2, 7], ids=["plane", "logits"])
def test_formulas_match_the_reference(mining, size):
    views = torch.randn(3, 8, size, generator=torch.Generator().manual_seed(size), dtype=torch.float64)
    x, y_a, y_n = (view.tolist() for view in views)
    prior = {"debiased reweight": 0.1, "hard debiased": 0.1}.get(mining, 0.0)
    f = reference.paper_similarity
    positive, negative = reference.aligned(f, x, y_a), reference.aligned(f, x, y_n)
    table = reference.all_pairs(f, x, y_n)
    weights = slow_weights(mining, negative)
    table_weights = [slow_weights(mining, [s / 0.5 for s in row]) for row in table]
    others = reference.of_other_faces(table)
    other_weights = None if weights is None else [slow_weights(mining, row) for row in others]
    next_a, next_n = reference.of_next_face(y_a), reference.of_next_face(y_n)
    shuffled = reference.aligned(f, x, next_a), reference.aligned(f, x, next_n)
    shuffled_weights = slow_weights(mining, shuffled[1])
    expected = {
        "avce": -reference.avce(positive, negative, weights=weights, prior=prior),
        "avce cross": -reference.avce_cross(positive, others, weights=other_weights, prior=prior),
        "avce shuffled": -reference.avce(*shuffled, weights=shuffled_weights, prior=prior),
        "infonce": reference.infonce(positive, negative, weights=weights, prior=prior),
        "infonce shuffled": reference.infonce(*shuffled, weights=shuffled_weights, prior=prior),
        "infonce cross": reference.infonce_cross(
            positive, table, 0.5, None if weights is None else table_weights, prior
        ),
        "barlow twins": reference.barlow_twins(x, y_a, y_n, weights=weights, prior=prior),
        "barlow twins shuffled": reference.barlow_twins(x, next_a, next_n, weights=shuffled_weights, prior=prior),
    }
    for name, value in expected.items():
        assert loss(FORMULAS[name], "paper", mining, views) == pytest.approx(value, rel=1e-9), name


def test_importance_weights_are_differentiated_in_the_cross_form_alone():
    similarity, mining = PaperSimilarity(), HardMining(form="reweight")
    y_n = Y_N.clone().requires_grad_()

    def cross(weights_of):
        positive, table = similarity(X, Y_A) / 0.5, similarity.pairwise(X, y_n) / 0.5
        weights = torch.softmax(weights_of(table), -1) * 4
        return torch.log(1 + (weights * table.exp()).sum(-1) / positive.exp()).mean()

    (expected,) = torch.autograd.grad(cross(lambda table: table), y_n)
    (other,) = torch.autograd.grad(cross(lambda table: table.detach()), y_n)
    result = FORMULAS["infonce cross"](X, Y_A, y_n, similarity, mining).loss
    (gradient,) = torch.autograd.grad(result, y_n)
    torch.testing.assert_close(gradient, expected)
    assert not torch.allclose(gradient, other)

    weights, score = mining(similarity(X, Y_N)).weights, similarity(X, y_n)
    frozen = {
        InfoNCE(): torch.log((weights * score.exp()).mean()),
        AVCE(): 0.5 * (weights * score).mean() + 0.25 * (weights * score.square()).mean(),
    }
    for formula, negatives in frozen.items():
        (expected,) = torch.autograd.grad(negatives, y_n, retain_graph=True)
        (gradient,) = torch.autograd.grad(formula(X, Y_A, y_n, similarity, mining).loss, y_n)
        torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("mining", MININGS)
@pytest.mark.parametrize("formula", [name for name in FORMULAS if name != "none"])
@pytest.mark.parametrize("size", [2, 7], ids=["plane", "logits"])
def test_gradients(formula, mining, size):
    views = torch.randn(3, 5, size, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    views = [view.requires_grad_() for view in views]
    weights = []

    def held(scores, generator):
        """The weights of the first call: they are no part of the derivative, except in the cross form of InfoNCE."""
        if not weights or formula == "infonce cross":
            weights.append(MININGS[mining](scores, torch.Generator().manual_seed(6)))
        return weights[-1]

    assert torch.autograd.gradcheck(lambda *views: FORMULAS[formula](*views, SIMILARITIES["paper"], held).loss, views)


def test_a_face_alone_in_its_batch_has_no_negatives_of_others():
    views = [v[:1].clone().requires_grad_() for v in (X, Y_A, Y_N)]
    for mining in MININGS.values():
        result = AVCE(pairs="cross")(*views, PaperSimilarity(), mining)
        score = reference.paper_similarity(reference.X[0], reference.Y_A[0])
        assert result.loss.item() == pytest.approx(-score + 0.0025 * score**2, rel=1e-12)
        assert result.diagnostics["similarity_negative"] == 0
        gradients = torch.autograd.grad(result.loss, views, allow_unused=True, materialize_grads=True)
        assert all(g.isfinite().all() for g in gradients)
        assert gradients[2].eq(0).all()


def test_mining_acts_on_the_negatives_of_each_anchor():
    seen = []

    class Watching(NoMining):
        def __call__(self, scores, generator=None):
            seen.append(scores)
            return super().__call__(scores, generator)

    AVCE(pairs="cross")(X.clone().requires_grad_(), Y_A, Y_N, PaperSimilarity(), Watching())
    table = reference.of_other_faces(reference.all_pairs(reference.paper_similarity, reference.X, reference.Y_N))
    assert not seen[0].requires_grad
    assert seen[0].flatten().tolist() == pytest.approx([score for row in table for score in row])


def test_views_of_another_face_are_a_control():
    """Where the views are functions of the face, aligned pairs can tell it and shuffled ones cannot."""
    x = torch.randn(256, 2, generator=torch.Generator().manual_seed(9)) / 3
    known = [loss(FORMULAS[name], views=(x, x, -x)) for name in ("avce", "infonce", "barlow twins")]
    control = [loss(FORMULAS[f"{name} shuffled"], views=(x, x, -x)) for name in ("avce", "infonce", "barlow twins")]
    assert all(better < worse - 0.3 for better, worse in zip(known, control, strict=True))
    for name in ("avce", "infonce", "barlow twins"):
        views = (x, x.roll(-1, 0), -x.roll(-1, 0))
        assert loss(FORMULAS[f"{name} shuffled"], views=views) == loss(FORMULAS[name], views=(x, x, -x))


HOSTILE = {
    "zeros": torch.zeros(3, 6, 2),
    "all equal": torch.full((3, 6, 2), 0.3),
    "antiparallel": torch.stack([torch.ones(6, 2), -torch.ones(6, 2), torch.ones(6, 2)]),
    "one sample": torch.tensor([[[0.3, 0.4]], [[0.3, 0.4]], [[-0.3, 0.1]]]),
    "tiny": torch.randn(3, 6, 2, generator=torch.Generator().manual_seed(0)) * 1e-30,
    "huge": torch.randn(3, 6, 2, generator=torch.Generator().manual_seed(0)) * 1e18,
    "largest": torch.randn(3, 6, 2, generator=torch.Generator().manual_seed(0)).sign() * 3e38,
    "classes": torch.randn(3, 6, 7, generator=torch.Generator().manual_seed(0)) * 30,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
def test_losses_and_gradients_are_finite(formula, case, dtype):
    for similarity in SIMILARITIES.values():
        for mining in MININGS.values():
            views = [view.to(dtype).requires_grad_() for view in HOSTILE[case]]
            result = formula(*views, similarity, mining)
            assert result.loss.shape == ()
            assert result.loss.dtype == torch.float32
            assert result.loss.isfinite()
            if result.loss.requires_grad:
                gradients = torch.autograd.grad(result.loss, views, allow_unused=True, materialize_grads=True)
                assert all(g.isfinite().all() for g in gradients)


@pytest.mark.parametrize("mining", [name for name in MININGS if name != "hard"])
@pytest.mark.parametrize("formula", [name for name in FORMULAS if "shuffled" not in name])
def test_order_of_the_batch_does_not_matter(formula, mining):
    views = torch.randn(3, 10, 2, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(8))
    expected = loss(FORMULAS[formula], "paper", mining, views)
    assert loss(FORMULAS[formula], "paper", mining, views[:, order]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
def test_autocast_does_not_touch_the_loss(formula):
    views = torch.randn(3, 16, 2)
    expected = formula(*views, PaperSimilarity(), NoMining()).loss
    with torch.autocast("cpu", torch.bfloat16):
        assert formula(*views, PaperSimilarity(), NoMining()).loss.equal(expected)


def test_draws_are_those_of_the_generator():
    views = torch.randn(3, 64, 2)
    for formula in (formula for name, formula in FORMULAS.items() if name != "none"):
        values = [
            formula(*views, PaperSimilarity(), HardMining(share=0.5), torch.Generator().manual_seed(seed)).loss.item()
            for seed in (0, 0, 1)
        ]
        assert values[0] == values[1] != values[2]


def test_diagnostics():
    views = [view.clone().requires_grad_() for view in (X, Y_A, Y_N)]
    for name, formula in FORMULAS.items():
        found = formula(*views, PaperSimilarity(), DebiasedMining()).diagnostics
        assert all(value.shape == () and not value.requires_grad for value in found.values())
        assert formula.uses_projection_head is (name != "none")
        if formula.uses_projection_head:
            assert set(found) == {"similarity_positive", "similarity_negative", "share_kept"}
            own = "shuffled" not in name
            assert (found["similarity_positive"].item() == pytest.approx(1.548066255457)) is own
            assert found["share_kept"].item() == pytest.approx(2 / 3 if name == "avce cross" else 3 / 4)


def test_no_formula_is_a_zero_that_can_be_added():
    x = torch.randn(4, 2, dtype=torch.bfloat16, requires_grad=True)
    result = NoCRL()(x, x, x, PaperSimilarity(), NoMining())
    assert result.loss == 0
    (x.float().sum() + 0.0256 * result.loss).backward()
    assert x.grad is not None


def test_released_matrix_of_scores_under_the_other_formulas():
    similarity = OfficialSimilarity(sign_pairing="broadcast")
    for mining in MININGS.values():
        for formula in (formula for name, formula in FORMULAS.items() if "cross" not in name):
            assert formula(X, Y_A, Y_N, similarity, mining).loss.isfinite()
    scores = [torch.tensor(reference.official_broadcast(reference.X, y)) for y in (reference.Y_A, reference.Y_N)]
    flat = [score.flatten().tolist() for score in scores]
    value = InfoNCE()(X, Y_A, Y_N, similarity, NoMining()).loss.item()
    assert value == pytest.approx(reference.infonce(*flat), rel=1e-6)
    for formula in (InfoNCE(pairs="cross"), AVCE(pairs="cross")):
        with pytest.raises(AvceError, match=r"Set similarity\.sign_pairing=aligned"):
            formula(X, Y_A, Y_N, similarity, NoMining())


CONF = Path(__file__).parents[2] / "conf"


@pytest.mark.parametrize(
    "file",
    [file for group in ("similarity", "mining", "crl_formula") for file in sorted((CONF / group).glob("*.yaml"))],
    ids=lambda file: f"{file.parent.name}={file.stem}",
)
def test_configuration_states_the_defaults_of_the_class(file):
    options = yaml.safe_load(file.read_text())
    module, name = options.pop("_target_").rsplit(".", 1)
    assert options.pop("name") == file.stem
    parameters = inspect.signature(getattr(import_module(module), name)).parameters
    defaults = {key: parameter.default for key, parameter in parameters.items()}
    own = module.rsplit(".", 1)[1]
    if file.stem != own:  # avce_cross and avce_shuffled are avce with other pairs
        defaults["pairs"] = file.stem.removeprefix(f"{own}_")
    assert options == defaults


@pytest.mark.parametrize("option", ["avce_cross", "avce_shuffled"])
def test_official_preset_trains_with_other_pairs(option, run):
    folder = run("preset=official", f"crl_formula={option}", "trainer.max_epochs=1")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["crl_formula"]["reduction"] == "sum"
    assert config["method"]["crl_weight"] == 1e-4, "it belongs to the batch sum"
