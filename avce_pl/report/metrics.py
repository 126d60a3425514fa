"""The metrics that tables, pages, cards and dashboards show.

A metric of valence and arousal that is added to `METRICS` is everywhere: in what a run prints, in its model card and
the analysis with a bootstrap interval, in the tables of sweeps, on the report page and in the dashboards; a table of
the paper has it when its layout names it. Finished runs that did not log it have it too, from their predictions.

A metric that only training logs, as ``test/<name>_<axis>`` or ``test/<name>``, is shown under that name without an
interval. In which direction it improves is said by its class in ``avce_pl/metrics`` (``maximised``), which chooses the
best epoch.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avce_pl.runs.predictions import read_predictions

Array = NDArray[np.float64]

AXES = ("valence", "arousal")
_MEAN = "mean"


@dataclass(frozen=True)
class Metric:
    """A metric of valence, or of arousal, as a function of means over faces, so that it can be resampled.

    Attributes:
        title: Its printed name.
        terms: (labels, predictions), (N,) each -> the K quantities, (N,) each, whose means over faces it needs.
        value: These K means, (R,) each -> its values, (R,).
        detail: Whether it is left out of the tables of sweeps, the report page's list of runs and the dashboards.
    """

    title: str
    terms: Callable[[Array, Array], tuple[Array, ...]]
    value: Callable[..., Array]
    detail: bool = False

    @property
    def size(self) -> int:
        """K."""
        return len(self.terms(np.zeros(1), np.zeros(1)))


def _moments(label: Array, predicted: Array) -> tuple[Array, ...]:
    return label, predicted, label**2, predicted**2, label * predicted


def _ccc(label: Array, predicted: Array, label2: Array, predicted2: Array, product: Array) -> Array:
    spread = label2 - label**2 + predicted2 - predicted**2 + (label - predicted) ** 2
    return 2 * (product - label * predicted) / np.maximum(spread, 1e-12)


def _pcc(label: Array, predicted: Array, label2: Array, predicted2: Array, product: Array) -> Array:
    spread = np.sqrt(np.maximum((label2 - label**2) * (predicted2 - predicted**2), 0))
    return np.where(spread > 0, (product - label * predicted) / np.where(spread > 0, spread, 1), 0)


def _agreeing(label: Array, predicted: Array) -> tuple[Array, ...]:
    return ((np.sign(label) == np.sign(predicted)).astype(np.float64),)


METRICS = {
    "ccc": Metric("CCC", _moments, _ccc),
    "pcc": Metric("PCC", _moments, _pcc, detail=True),
    "rmse": Metric("RMSE", lambda label, predicted: ((label - predicted) ** 2,), np.sqrt),
    "sagr": Metric("SAGR", _agreeing, lambda share: share, detail=True),
}
"""The metrics of valence and arousal by the name under which runs log them, as defined in the paper's supplement."""

EXPRESSION = {"accuracy": "accuracy", "accuracy_macro": "mean of classes", "f1_macro": "macro F1"}
"""The metrics of expressions, and their printed names."""


def title(key: str) -> str:
    """The column title of a value that a run logs: "CCC V" for ``test/ccc_valence``."""
    metric, axis = _split(key)
    if not metric:
        name = key.removeprefix("test/")
        return EXPRESSION.get(name, name.replace("_", " "))
    return f"{printed_name(metric)} {axis if axis == _MEAN else axis[0].upper()}"


def printed_name(metric: str) -> str:
    """The title of a metric of valence and arousal: "CCC" for ``ccc``."""
    return METRICS[metric].title if metric in METRICS else metric.upper()


def names(test: Iterable[str]) -> list[str]:
    """The metrics of valence and arousal: those of `METRICS`, then further ones among the keys that a run logs."""
    logged = (_split(key) for key in test)
    return [*dict.fromkeys([*METRICS, *(metric for metric, axis in logged if axis in AXES)])]


def columns(tests: Iterable[Iterable[str]]) -> dict[str, str]:
    """What a table of runs shows of their tests, without details: key -> title.

    Args:
        tests: The keys that each finished run logs; where there are none, the columns are of valence and arousal.
    """
    keys = list(dict.fromkeys(key for test in tests for key in test))
    known = names(keys)
    others = [key for key in keys if _split(key)[0] not in known]
    shown = [] if len(others) == len(keys) > 0 else [name for name in known if not _is_detail(name)]
    return {key: title(key) for key in [*(f"test/{name}_{axis}" for name in shown for axis in AXES), *others]}


def tested_value(folder: Path, metrics: Mapping[str, Any], key: str) -> float | None:
    """A number of a finished run's test, from its record, or else from its predictions by `METRICS`.

    Args:
        folder: The run's folder.
        metrics: What its ``metrics.json`` holds.
        key: Such as ``test/ccc_valence`` or ``test/accuracy``.

    Returns:
        ``None`` where neither has it, or where it is not finite.

    Raises:
        AvceError: its predictions cannot be read.
    """
    logged, (metric, axis) = metrics.get("test", {}), _split(key)
    value, of_expressions = logged.get(key), "classes" in metrics.get("data", {})
    if key not in logged and metric in METRICS and not of_expressions and (folder / "predictions.parquet").exists():
        measured = measure(read_predictions(folder), metric)
        value = measured[axis] if axis in measured else float(np.mean([*measured.values()]))
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None


def measure(table: pd.DataFrame, metric: str) -> dict[str, float]:
    """One of `METRICS` over all rows of a table of predictions: ``valence`` and ``arousal`` -> value."""
    found = {}
    for axis in AXES:
        means = (term.mean(keepdims=True) for term in terms(table, axis, METRICS[metric]))
        found[axis] = float(METRICS[metric].value(*means)[0])
    return found


def terms(table: pd.DataFrame, axis: str, metric: Metric) -> tuple[Array, ...]:
    """What a metric averages over the rows of a table of predictions, (N,) each."""
    label, predicted = (table[name].to_numpy(np.float64) for name in (axis, f"predicted_{axis}"))
    return metric.terms(label, predicted)


def _split(key: str) -> tuple[str, str]:
    """``test/ccc_valence`` as ("ccc", "valence"); empty texts for a key without an axis."""
    metric, _, axis = key.rpartition("/")[2].rpartition("_")
    return (metric, axis) if axis in (*AXES, _MEAN) else ("", "")


def _is_detail(metric: str) -> bool:
    return metric in METRICS and METRICS[metric].detail
