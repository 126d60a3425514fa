import pytest
from test_valence_arousal import LABEL, X, assert_equal, expected, samples, stream

from avce_pl.metrics.official import OfficialMetrics
from tests.support.reference_transforms import official_agreement


def test_reference_values():
    actual = stream(OfficialMetrics(2), X, LABEL, [2])
    assert actual["pcc_valence"] == pytest.approx(1.3109227736669, abs=1e-12)
    assert actual["ccc_valence"] == pytest.approx(1.3107344632768, abs=1e-12)
    assert actual["rmse_arousal"] == pytest.approx(0.1137377439199, abs=1e-12)


@pytest.mark.parametrize("sizes", [[64], [7], [1, 100, 333], [5000]])
def test_it_is_the_released_evaluation_whatever_the_batches_of_the_loader(sizes):
    prediction, target = samples(2000)  # 2000 is no multiple of 64
    actual = stream(OfficialMetrics(), prediction, target, sizes)
    assert_equal(actual, expected(prediction, target, official_agreement, batch_size=64), 1e-12)


def test_asking_twice_gives_the_same():
    metric = OfficialMetrics(8)
    first = stream(metric, *samples(100), [9])
    metric.update(*samples(0))
    assert {key: float(value) for key, value in metric.compute().items()} == first
