import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avce_pl.functional.contrastive_adversarial import (
    constrained_critic_loss,
    critic_distances,
    emotion_groups,
    mutual_information,
    neighbour_confidence,
    otsu_threshold,
    rmse_loss,
)
from tests.support import reference_caf as reference

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
# where equal scores part one way or another by rounding, both are right
decimal = st.integers(-100, 100).map(lambda n: n / 64)


def outputs(seed: int, n: int = 8, k: int = 16, spread: float = 0.5) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [spread * torch.randn(n, k, generator=generator, dtype=torch.float64) for _ in range(2)]


def test_reference_values_of_the_mutual_information():
    ones, zeros = torch.ones(1, 16, dtype=torch.float64), torch.zeros(1, 16, dtype=torch.float64)
    assert mutual_information(ones, ones).item() == pytest.approx(0.6931018, abs=1e-7)
    assert mutual_information(zeros, zeros).item() == pytest.approx(2.5, abs=1e-12)
    assert mutual_information(ones, -ones).item() == 0


@given(values=st.lists(decimal, min_size=1, max_size=12))
@settings(max_examples=200, deadline=None)
def test_otsu_matches_the_reference(values):
    found = otsu_threshold(torch.tensor(values, dtype=torch.float64)).item()
    assert found == pytest.approx(reference.otsu(values), abs=1e-12)


@given(label=st.lists(st.tuples(decimal, decimal), min_size=1, max_size=12))
@settings(max_examples=200, deadline=None)
def test_groups_match_the_reference_and_are_even(label):
    strong, weak = emotion_groups(torch.tensor(label, dtype=torch.float64))
    assert (strong.tolist(), weak.tolist()) == reference.groups(label)
    assert len(strong) == len(weak)
    assert len(strong) % 2 == 0


@pytest.mark.parametrize("label", [[[0.3, 0.2]], [[0.5, -0.5]] * 8, [[0.0, 0.0]] * 8, [[0.9, 0.9], [0.1, 0.1]]])
def test_without_two_of_each_there_are_no_groups(label):
    assert [len(group) for group in emotion_groups(torch.tensor(label))] == [0, 0]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("spread", [0.05, 0.5, 3.0])
def test_distances_match_the_reference(seed, spread):
    strong, weak = outputs(seed, spread=spread)
    within, between = critic_distances(strong, weak + 0.3)
    expected = reference.distances(strong.tolist(), (weak + 0.3).tolist())
    assert within.tolist() == pytest.approx(expected[0], rel=1e-9)
    assert between.tolist() == pytest.approx(expected[1], rel=1e-9, abs=1e-9)
    loss, constraint = constrained_critic_loss(within, between, torch.tensor(0.3), penalty=0.1)
    wanted = reference.critic_loss(*expected, 0.3, 0.1)
    assert (loss.item(), constraint.item()) == pytest.approx(wanted, rel=1e-6)


def test_confidence_grows_with_agreement():
    """Two clear clusters: the two nearest agree. No cluster: no number of neighbours agrees."""
    apart = torch.cat([torch.zeros(6, 2), torch.full((6, 2), 9.0)]) + torch.rand(12, 2)
    strong = torch.arange(12) < 6
    assert neighbour_confidence(apart, strong).tolist() == pytest.approx([0.7] * 12)
    mixed = torch.arange(12.0)[:, None]
    alternating = torch.arange(12) % 2 == 0
    found = neighbour_confidence(mixed, alternating).tolist()
    expected = [reference.confidence(mixed.tolist(), alternating.tolist(), i) for i in range(12)]
    assert found == pytest.approx(expected)
    assert min(found) < 0.35


def test_coinciding_outputs_are_not_their_own_neighbours():
    found = neighbour_confidence(torch.zeros(4, 3), torch.tensor([True, True, False, False]))
    expected = [reference.confidence([[0.0] * 3] * 4, [1, 1, 0, 0], i) for i in range(4)]
    assert found.tolist() == pytest.approx(expected)


def test_gradients():
    strong, weak = (tensor.requires_grad_() for tensor in outputs(5, n=4, k=3))

    def loss(strong, weak):
        return constrained_critic_loss(*critic_distances(strong, weak), torch.tensor(0.2).double(), 0.1)[0]

    assert torch.autograd.gradcheck(loss, (strong, weak))
    x, y = torch.randn(2, 5, 2, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(rmse_loss, (x, y))


def test_rmse_matches_the_reference():
    x, y = torch.randn(2, 6, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert rmse_loss(x, y).item() == pytest.approx(reference.rmse(x.tolist(), y.tolist()), rel=1e-9)
    perfect = x.clone().requires_grad_()
    rmse_loss(perfect, x).backward()
    assert rmse_loss(x, x).item() == pytest.approx(0, abs=1e-9)
    assert perfect.grad.isfinite().all()


@given(data=st.data(), pairs=st.sampled_from([2, 4, 6]), dtype=st.sampled_from([torch.float32, torch.bfloat16]))
@settings(max_examples=200, deadline=None)
def test_any_finite_outputs_give_finite_losses_and_gradients(data, pairs, dtype):
    row = st.lists(finite, min_size=3, max_size=3)
    made = [data.draw(st.lists(row, min_size=pairs, max_size=pairs)) for _ in range(2)]
    strong, weak = (torch.tensor(rows, dtype=dtype).nan_to_num().requires_grad_() for rows in made)
    loss, constraint = constrained_critic_loss(*critic_distances(strong, weak), torch.tensor(0.1))
    loss.backward()
    assert loss.isfinite()
    assert constraint.isfinite()
    assert strong.grad.isfinite().all()
    assert weak.grad.isfinite().all()


@given(label=st.lists(st.tuples(finite, finite), min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_any_finite_labels_group_and_have_an_error(label):
    points = torch.tensor(label)
    strong, weak = emotion_groups(points)
    assert not {*strong.tolist()} & {*weak.tolist()}
    prediction = torch.zeros_like(points, requires_grad=True)
    error = rmse_loss(prediction, points.clamp(-1e30, 1e30))
    error.backward()
    assert error.isfinite()
    assert prediction.grad.isfinite().all()


def test_misuse_is_told_in_a_sentence():
    with pytest.raises(ValueError, match="even number"):
        critic_distances(torch.zeros(3, 2), torch.zeros(3, 2))
    with pytest.raises(ValueError, match=r"valence and arousal; got \(3, 7\)"):
        emotion_groups(torch.zeros(3, 7))
    with pytest.raises(ValueError, match="at least two"):
        neighbour_confidence(torch.zeros(1, 2), torch.tensor([True]))
    with pytest.raises(ValueError, match="level"):
        neighbour_confidence(torch.zeros(2, 2), torch.tensor([True, False]), level=0.4)
    with pytest.raises(ValueError, match="at least one sample"):
        mutual_information(torch.zeros(0, 2), torch.zeros(0, 2))
