import pytest
import torch

from avce_pl.similarity.angle import AngleSimilarity
from avce_pl.similarity.official import OfficialSimilarity
from avce_pl.similarity.paper import PaperSimilarity
from tests.support import reference

X, Y_A, Y_N = (torch.tensor(v, dtype=torch.float64) for v in (reference.X, reference.Y_A, reference.Y_N))
OPTIONS = {
    "paper": (PaperSimilarity(), reference.paper_similarity),
    "angle": (AngleSimilarity(), reference.angle_similarity),
    "official": (OfficialSimilarity(), reference.official_similarity),
}


@pytest.mark.parametrize(
    ("similarity", "positive", "negative"),
    [
        (
            PaperSimilarity(),
            [1.7447564968, 1.5216362912, 1.3107836309, 1.6150886029],
            [1.1207783791, 1.0818352644, 1.6868629150, 0.8264519567],
        ),
        (
            AngleSimilarity(),
            [0.9565817025, 0.9427508530, 0.8975836176, 0.9371670418],
            [0.4823342771, 0.3975836176, 1.0, 0.1024163823],
        ),
    ],
    ids=["paper", "angle"],
)
def test_worked_example(similarity, positive, negative):
    assert similarity(X, Y_A).tolist() == pytest.approx(positive, abs=1e-10)
    assert similarity(X, Y_N).tolist() == pytest.approx(negative, abs=1e-10)


@pytest.mark.parametrize(("similarity", "slow"), OPTIONS.values(), ids=OPTIONS)
def test_aligned_and_pairwise_scores_match_the_reference(similarity, slow):
    y = torch.cat([Y_A, Y_N[:2]])
    assert similarity(X, Y_A).tolist() == pytest.approx(reference.aligned(slow, reference.X, reference.Y_A))
    table = similarity.pairwise(X, y)
    assert table.shape == (4, 6)
    for row, expected in zip(table.tolist(), reference.all_pairs(slow, X.tolist(), y.tolist()), strict=True):
        assert row == pytest.approx(expected)


def test_weights_of_the_terms():
    x, y = reference.X[3], reference.Y_A[3]
    scores = PaperSimilarity(intensity_weight=0.3, sign_weight=0.4)(X, Y_A)
    assert scores[3].item() == pytest.approx(reference.paper_similarity(x, y, 0.3, 0.4))
    scores = OfficialSimilarity(intensity_weight=0.3, sign_penalty=0.4)(X, Y_A)
    score, penalty = reference.official_terms(x, y, 0.3, 0.4)
    assert scores[3].item() == pytest.approx(score - penalty)


def test_broadcast_sign_penalty_makes_the_released_matrix():
    matrix = OfficialSimilarity(sign_pairing="broadcast")(X, Y_N)
    for row, expected in zip(matrix.tolist(), reference.official_broadcast(reference.X, reference.Y_N), strict=True):
        assert row == pytest.approx(expected)
    pairwise = OfficialSimilarity(sign_pairing="broadcast").pairwise(X, Y_N)
    assert pairwise.equal(OfficialSimilarity().pairwise(X, Y_N))


@pytest.mark.parametrize(
    "similarity",
    [PaperSimilarity(sign_weight=9.0), OfficialSimilarity(sign_penalty=9.0, sign_pairing="broadcast")],
)
def test_discrete_mode_has_no_sign_penalty(similarity):
    x = torch.rand(4, 7)
    scores = similarity(x, -x)
    assert scores.shape == (4,)
    assert (scores > -1).all()


@pytest.mark.parametrize(("similarity", "slow"), OPTIONS.values(), ids=OPTIONS)
def test_order_of_the_batch(similarity, slow):
    order = torch.tensor([2, 0, 3, 1])
    assert similarity(X[order], Y_A[order]).equal(similarity(X, Y_A)[order])
