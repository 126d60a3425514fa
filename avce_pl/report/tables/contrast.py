"""The state of the contrast of runs with a contrastive loss: alive, dead, or not measured."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from avce_pl.runs.records import RunRecord

ContrastState = Literal["none", "not measured", "alive", "dead"]

DEAD = "the two views are equal, so there was no contrast to learn from"
_SUPERVISED = ("baseline", "caf")  # methods without a contrastive loss, whatever formula is chosen
_SHOWN = {"views": "mean |Sp(z) − Sm(z)|", "scores": "mean |y_a − y_n|"}


def contrast_state(choices: Mapping[str, Any], metrics: Mapping[str, Any]) -> ContrastState:
    """The state of a run's contrast.

    Args:
        choices: What it was trained with: ``method`` and ``crl_formula``.
        metrics: What its ``metrics.json`` holds.

    Returns:
        "none" for a run without a contrastive loss, "not measured" for a run of a version that did not record it.
    """
    if found := metrics.get("contrast"):
        return "alive" if found["alive"] else "dead"
    own = choices["method"] != "avce" and "updates" in metrics  # a user's method that does not measure its contrast
    supervised = own or choices["method"] in _SUPERVISED or choices["crl_formula"] == "none"
    return "none" if supervised else "not measured"


def describe_contrast(record: Mapping[str, Any]) -> str:
    """The contrast of a finished run in words, from its ``metrics.json``."""
    state = contrast_state(record, record)
    if state == "none":
        return "no contrastive loss"
    if state == "not measured":
        return "not measured: the record does not say whether the two views of a face differed"
    found = record["contrast"]
    numbers = ", ".join(f"{text} {found[key]:.2f}" for key, text in _SHOWN.items() if found.get(key) is not None)
    return f"dead ({numbers}): {DEAD}" if state == "dead" else f"alive ({numbers})"


def contrast_of_runs(runs: Sequence[RunRecord]) -> str | None:
    """The contrast of the finished runs of one row, such as "0.45, 0.21"; ``None`` without a contrastive loss."""
    states = [contrast_state(run.choices, run.metrics) for run in runs]
    if all(state == "none" for state in states):
        return None
    measured = [run.metrics["contrast"] for run in runs if "contrast" in run.metrics]
    if not measured:
        return "not measured"
    text = ", ".join(_mean(measured, key) for key in _SHOWN)
    if dead := states.count("dead"):
        text += f"; dead in {dead} of {len(measured)} runs"
    if missing := states.count("not measured"):
        text += f"; {missing} not measured"
    return text


def _mean(measured: Sequence[Mapping[str, Any]], key: str) -> str:
    values = [one[key] for one in measured if one.get(key) is not None]
    return f"{np.mean(values):.2f}" if values else "–"
