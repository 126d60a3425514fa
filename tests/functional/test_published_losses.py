import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from avce_pl.functional.agreement import ccc_loss
from avce_pl.functional.published_losses import (
    attentive_centre_loss,
    cage_loss,
    locality_loss,
    region_bias_loss,
    shaken_loss,
    step_centres,
)
from tests.support import reference_literature as twin

LABEL, PREDICTION = (torch.tensor(rows, dtype=torch.float64) for rows in (twin.LABEL, twin.PREDICTION))
FEATURE = torch.tensor([[0, 0], [1, 0], [0, 2], [3, 3], [4, 3]], dtype=torch.float64)
CLASSES = torch.tensor([0, 0, 0, 1, 1])
F = torch.tensor([[1, 2], [0, -1], [3, 0]], dtype=torch.float64)
A = torch.tensor([[0.5, 1], [0.2, 0.8], [1, 0]], dtype=torch.float64)
C = torch.tensor([[0, 1], [2, 0]], dtype=torch.float64)
Y = torch.tensor([0, 1, 1])
seeds = st.integers(0, 2**32)


def rand(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def exact(value: object) -> object:
    return pytest.approx(value, abs=1e-6)


def test_worked_examples_of_valence_and_arousal() -> None:
    weights = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    assert shaken_loss(PREDICTION, LABEL, weights).item() == exact(0.187848)
    for number, value in enumerate((0.290401, 0.123121, 0.227356)):
        assert shaken_loss(PREDICTION, LABEL, torch.eye(3)[number]).item() == exact(value)
    assert cage_loss(PREDICTION, LABEL).item() == exact(-1.417788)
    assert ccc_loss(PREDICTION, LABEL).item() == exact(0.227356), "Kollias et al."


@pytest.mark.parametrize(("k", "value"), [(1, 0.8), (2, 0.95), (20, 0.95)])
def test_worked_example_of_locality(k: int, value: float) -> None:
    assert locality_loss(FEATURE, CLASSES, k).item() == exact(value)


def test_neighbours_are_constants() -> None:
    feature = FEATURE.clone().requires_grad_()
    (5 * locality_loss(feature, CLASSES, 2)).backward()
    assert feature.grad is not None
    assert feature.grad.tolist() == [[-0.5, -1], [1, -1], [-0.5, 2], [-1, 0], [1, 0]]


def test_worked_example_of_attentive_centres() -> None:
    feature, attention = F.clone().requires_grad_(), A.clone().requires_grad_()
    loss = attentive_centre_loss(feature, attention, C, Y)
    loss.backward()
    assert loss.item() == exact(0.683333)
    sixth = 1 / 6
    torch.testing.assert_close(feature.grad, torch.tensor([[1, 2], [-0.8, -1.6], [2, 0]], dtype=torch.float64) * sixth)
    torch.testing.assert_close(attention.grad, torch.tensor([[1, 1], [4, 1], [1, 0]], dtype=torch.float64) * sixth)
    moved = step_centres(F, A, C, Y, 0.5)
    torch.testing.assert_close(moved, torch.tensor([[0.125, 1.25], [2.1, -0.4 / 3]], dtype=torch.float64))


def test_worked_example_of_regions() -> None:
    mu = torch.tensor([[0.645656, 0.462570, 0.645656], [0.524979, 0.586618, 0.645656]], dtype=torch.float64)
    assert region_bias_loss(mu[:1]).item() == exact(0.02)
    assert region_bias_loss(mu[1:]).item() == pytest.approx(0.079039, abs=2e-6)


@given(seed=seeds, n=st.integers(2, 6))
def test_they_agree_with_their_twins(seed: int, n: int) -> None:
    prediction, label, weights = rand(seed, n, 2) * 2 - 1, rand(seed + 1, n, 2) * 2 - 1, rand(seed + 2, 3) + 0.01
    rows = prediction.tolist(), label.tolist()
    assert shaken_loss(prediction, label, weights).item() == pytest.approx(
        twin.shaken_loss(*rows, weights.tolist()), abs=1e-4
    )
    assert cage_loss(prediction, label).item() == pytest.approx(twin.cage_loss(*rows), abs=1e-9)
    target = torch.randint(3, (n,), generator=torch.Generator().manual_seed(seed))
    for k in (1, 2, 9):
        value = twin.locality_loss(rows[0], target.tolist(), k)
        assert locality_loss(prediction, target, k).item() == pytest.approx(value, abs=1e-12)
    attention, centres = rand(seed + 3, n, 2), rand(seed + 4, 3, 2)
    given_ = (prediction, attention, centres, target)
    lists = [part.tolist() for part in given_]
    assert attentive_centre_loss(*given_).item() == pytest.approx(twin.attentive_centre_loss(*lists), abs=1e-12)
    moved = torch.tensor(twin.step_centres(*lists, 0.3), dtype=torch.float64)
    torch.testing.assert_close(step_centres(*given_, 0.3), moved)
    assert region_bias_loss(attention, 0.1).item() == pytest.approx(twin.region_bias_loss(lists[1], 0.1), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_gradients(seed: int) -> None:
    prediction, label = (rand(seed, 5, 2) - 0.5).requires_grad_(), rand(seed + 9, 5, 2)
    weights, attention, centres = rand(seed + 1, 3), rand(seed + 2, 5, 2).requires_grad_(), rand(seed + 3, 2, 2)
    target = torch.tensor([0, 1, 0, 1, 1])
    check = torch.autograd.gradcheck
    assert check(lambda p: shaken_loss(p, label, weights), prediction)
    assert check(lambda p: cage_loss(p, label), prediction)
    assert check(lambda p, a: attentive_centre_loss(p, a, centres, target), (prediction, attention))
    assert check(lambda a: region_bias_loss(a, 0.5), attention)


def test_a_perfect_batch_has_no_gradient_and_an_image_alone_adds_nothing() -> None:
    prediction = LABEL.clone().requires_grad_()
    shaken_loss(prediction, LABEL, torch.tensor([1.0, 0.0, 0.0])).backward()
    assert prediction.grad is not None
    assert not prediction.grad.any()
    assert locality_loss(FEATURE, torch.arange(5)).item() == 0


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: shaken_loss(LABEL, LABEL[:2], torch.ones(3)), "one shape"),
        (lambda: shaken_loss(LABEL, LABEL, torch.zeros(3)), "not all 0"),
        (lambda: locality_loss(FEATURE, CLASSES, 0), "1 or more"),
        (lambda: locality_loss(FEATURE, CLASSES[:2]), "classes"),
        (lambda: attentive_centre_loss(F, A, C, torch.tensor([0, 1, 2])), "within 0 and 1"),
        (lambda: attentive_centre_loss(F, A[:1], C, Y), "Attention"),
        (lambda: region_bias_loss(A[:, :1]), "k > 0"),
    ],
)
def test_bad_input_is_a_sentence(call, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call()
