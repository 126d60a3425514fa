import copy
import pickle
import warnings

import pytest
import scipy.stats
import torch
import torch.multiprocessing
from hypothesis import given, settings
from hypothesis import strategies as st

from avce_pl.errors import AvceError
from avce_pl.metrics.official import OfficialMetrics
from avce_pl.metrics.valence_arousal import ConstantPredictionWarning, ValenceArousalMetrics
from tests.support.reference_transforms import agreement

NAMES = ("ccc", "pcc", "rmse", "sagr")
X = torch.tensor([[0.3, 0.4], [-0.2, 0.1], [0.5, -0.5], [0, 0.6]], dtype=torch.float64)
LABEL = torch.tensor([[0.35, 0.3], [-0.25, 0.2], [0.45, -0.35], [0.05, 0.5]], dtype=torch.float64)


def samples(rows, seed=0, offset=0.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    label = torch.rand(rows, 2, generator=generator, dtype=torch.float64) * 2 - 1
    prediction = 0.6 * label + 0.3 * torch.randn(rows, 2, generator=generator, dtype=torch.float64)
    prediction[: rows // 10] = 0  # zeros matter to SAGR
    label[rows // 20 : rows // 5] = 0
    return (prediction + offset).to(dtype), (label + offset).to(dtype)


def stream(metric, prediction, target, sizes):
    start, turn = 0, 0
    while start < len(prediction):
        stop = start + sizes[turn % len(sizes)]
        metric.update(prediction[start:stop], target[start:stop])
        start, turn = stop, turn + 1
    return {name: float(value) for name, value in metric.compute().items()}


def expected(prediction, target, reference=agreement, **settings):
    valence, arousal = (
        reference(prediction[:, axis].double().numpy(), target[:, axis].double().numpy(), **settings) for axis in (0, 1)
    )
    return {
        f"{name}_{suffix}": value
        for name in NAMES
        for suffix, value in (
            ("valence", valence[name]),
            ("arousal", arousal[name]),
            ("mean", (valence[name] + arousal[name]) / 2),
        )
    }


def assert_equal(actual, wanted, tolerance):
    assert actual.keys() == wanted.keys()
    for name, value in wanted.items():
        assert actual[name] == pytest.approx(value, abs=tolerance), name


def test_reference_values():
    actual = stream(ValenceArousalMetrics(), X, LABEL, [2])
    assert actual["pcc_valence"] == pytest.approx(0.9831920802502, abs=1e-12)
    assert actual["ccc_valence"] == pytest.approx(0.9830508474576, abs=1e-12)
    assert actual["rmse_arousal"] == pytest.approx(0.1145643923739, abs=1e-12)
    assert actual["sagr_valence"] == 0.75


@pytest.mark.parametrize("sizes", [[7], [1, 64, 333], [100_000]])
def test_a_hundred_thousand_samples_agree_with_two_passes(sizes):
    prediction, target = samples(100_000)
    actual = stream(ValenceArousalMetrics(), prediction, target, sizes)
    assert_equal(actual, expected(prediction, target), 1e-12)
    pcc = scipy.stats.pearsonr(prediction[:, 1].numpy(), target[:, 1].numpy()).statistic
    assert actual["pcc_arousal"] == pytest.approx(pcc, abs=1e-12)


@pytest.mark.parametrize("offset", [1e4, -1e4])
def test_a_large_offset_costs_no_accuracy(offset):
    prediction, target = samples(10_000, offset=offset)
    # The inputs themselves are rounded to 1e-12 here, alike for both.
    assert_equal(stream(ValenceArousalMetrics(), prediction, target, [7, 100]), expected(prediction, target), 1e-9)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 90), min_size=1, max_size=4), st.integers(2, 300))
def test_the_batch_size_does_not_matter(seed, sizes, rows):
    prediction, target = samples(rows, seed)
    whole, parts = (stream(ValenceArousalMetrics(), prediction, target, s) for s in ([rows], sizes))
    assert_equal(parts, whole, 1e-12)


@settings(deadline=None, max_examples=50)
@given(st.floats(-1e4, 1e4), st.lists(st.integers(1, 9), min_size=1, max_size=3), st.integers(1, 100))
def test_constant_predictions_have_no_correlation(value, sizes, rows):
    _, target = samples(rows)
    metric = ValenceArousalMetrics()
    with pytest.warns(ConstantPredictionWarning, match="valence predictions and arousal predictions"):
        actual = stream(metric, torch.full((rows, 2), value, dtype=torch.float64), target, sizes)
    assert {actual[f"{name}_{axis}"] for name in ("pcc", "ccc") for axis in ("valence", "arousal", "mean")} == {0.0}
    assert actual["rmse_valence"] == pytest.approx(float((target[:, 0] - value).square().mean().sqrt()), rel=1e-12)


def test_the_warning_comes_once_and_names_the_column():
    metric = ValenceArousalMetrics()
    prediction = torch.stack((torch.full((4,), 0.1), X[:, 1].float()), 1)
    metric.update(prediction, LABEL)
    with pytest.warns(ConstantPredictionWarning, match=r"^The valence predictions are constant"):
        actual = metric.compute()
    assert actual["ccc_valence"] == 0
    assert actual["ccc_arousal"] > 0.9
    metric.reset()
    metric.update(prediction, LABEL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metric.compute()


@pytest.mark.filterwarnings("ignore::avce_pl.metrics.valence_arousal.ConstantPredictionWarning")
@pytest.mark.parametrize("factory", [ValenceArousalMetrics, OfficialMetrics])
def test_a_single_sample_is_defined(factory):
    actual = stream(factory(), X[:1], LABEL[:1], [1])
    assert actual["ccc_mean"] == actual["pcc_mean"] == 0
    assert actual["rmse_valence"] == pytest.approx(0.05)
    assert actual["sagr_mean"] == 1


@pytest.mark.filterwarnings("ignore:The ``compute`` method:UserWarning")
@pytest.mark.parametrize("batches", [0, 1])
def test_no_samples_is_an_error(batches):
    metric = ValenceArousalMetrics()
    for _ in range(batches):
        metric.update(torch.zeros(0, 2), torch.zeros(0, 2))
    with pytest.raises(AvceError, match="seen no samples"):
        metric.compute()


def test_broken_predictions_and_labels_are_counted():
    prediction, target = X.clone(), LABEL.clone()
    prediction[1, 0], prediction[2, 0], target[0, 1] = torch.nan, torch.inf, torch.nan
    metric = ValenceArousalMetrics()
    metric.update(X, LABEL)
    metric.update(prediction, target)
    message = "CCC, PCC, RMSE and SAGR: of 8 rows, 2 valence predictions and 1 arousal labels are NaN or infinite"
    with pytest.raises(AvceError, match=message):
        metric.compute()


@pytest.mark.parametrize("shapes", [((4,), (4,)), ((4, 2), (3, 2)), ((4, 3), (4, 3)), ((2, 2, 2), (2, 2, 2))])
def test_misuse_is_named(shapes):
    with pytest.raises(ValueError, match=r"one shape \(N, 2\), valence before arousal"):
        ValenceArousalMetrics().update(*(torch.zeros(shape) for shape in shapes))


def test_casts_of_the_module_leave_the_state_in_float64():
    module = torch.nn.Module()
    module.metric = ValenceArousalMetrics()
    prediction, target = samples(1000)
    module.metric.update(prediction[:500], target[:500])
    module.half().to(torch.bfloat16).float()
    module.metric.set_dtype(torch.float16)
    module.metric.update(prediction[500:], target[500:])
    actual = module.metric.compute()
    assert {value.dtype for value in actual.values()} == {torch.float64}
    assert_equal({name: float(value) for name, value in actual.items()}, expected(prediction, target), 1e-12)
    module.metric.reset()
    assert module.metric.statistics.dtype == torch.float64


def test_half_precision_inputs_are_taken_as_they_are():
    prediction, target = samples(1000, dtype=torch.bfloat16)
    actual = stream(ValenceArousalMetrics(), prediction, target.float(), [64])
    assert_equal(actual, expected(prediction, target), 1e-12)


@pytest.mark.parametrize("factory", [ValenceArousalMetrics, lambda: OfficialMetrics(8)])
def test_copies_forward_calls_and_gradients_do_not_disturb_the_stream(factory):
    prediction, target = samples(100)
    metric, plain = factory(), factory()
    for start in range(0, 100, 20):
        batch = prediction[start : start + 20], target[start : start + 20]
        value = metric(batch[0].clone().requires_grad_(), batch[1])
        assert not value["ccc_mean"].requires_grad
        assert value["rmse_mean"] == pytest.approx(stream(factory(), *batch, [20])["rmse_mean"], abs=1e-12)
        plain.update(*batch)
        metric = pickle.loads(pickle.dumps(copy.deepcopy(metric)))
    assert {k: float(v) for k, v in metric.compute().items()} == pytest.approx(
        {k: float(v) for k, v in plain.compute().items()}, abs=1e-12
    )


def _rank(rank, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    prediction, target = samples(1001)
    results = {}
    for name, metric, split in (
        ("pooled", ValenceArousalMetrics(), 437),
        ("idle", ValenceArousalMetrics(), 1001),  # rank 1 sees nothing
        ("official", OfficialMetrics(8), 400),
    ):
        rows = slice(0, split) if rank == 0 else slice(split, None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results[name] = stream(metric, prediction[rows], target[rows], [5])
    # After a compute the state is this process's own again: more samples may follow.
    metric = ValenceArousalMetrics()
    for half in (slice(rank, 500, 2), slice(500 + rank, None, 2)):
        metric.update(prediction[half], target[half])
        results["resumed"] = {key: float(value) for key, value in metric.compute().items()}
    torch.save(results, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path):
    torch.multiprocessing.spawn(_rank, (str(tmp_path),), nprocs=2)
    prediction, target = samples(1001)
    pooled = expected(prediction, target)
    one = OfficialMetrics(8)
    official = stream(one, prediction, target, [5])
    for rank in (0, 1):
        results = torch.load(tmp_path / f"{rank}.pt")
        for name in ("pooled", "idle", "resumed"):
            assert_equal(results[name], pooled, 1e-9)
        assert_equal(results["official"], official, 1e-9)  # 400 rows are whole batches of 8
