"""Beyond the paper: errors over the plane, calibration, and CCC with intervals and paired tests."""

from collections.abc import Sequence
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from avce_pl.report.figures import style
from avce_pl.report.figures.latent import QUADRANTS, quadrants
from avce_pl.report.figures.maps import p_value
from avce_pl.report.figures.parts import plane_axes, source
from avce_pl.report.metrics import AXES, Array
from avce_pl.report.statistics import (
    RESAMPLES,
    Calibration,
    Difference,
    calibration,
    ccc_difference,
    intervals,
    plane_errors,
    resampling_unit,
)
from avce_pl.runs.predictions import Run

_MARKERS = dict(zip(AXES, ("o", "s"), strict=True))
_FEELINGS = {"excited": (0.6, 0.72), "afraid, angry": (-0.62, 0.72), "sad": (-0.68, -0.66), "calm": (0.64, -0.66)}
_MOST = 1500  # points of a scatter
_FEW = 5  # faces of a bin below which its mean label is not drawn


def draw_analysis(runs: Sequence[Run]) -> tuple[Figure, dict[str, Any]]:
    """Draws the number of faces over the plane and the CCC of all runs, and for each run its errors and calibration.

    Args:
        runs: tested on the same faces; the later ones are compared with the first.

    Returns:
        The figure, and its numbers.
    """
    unit = resampling_unit(runs[0].table)
    found = {run.label: intervals(run.table, unit) for run in runs}
    differences = {run.label: ccc_difference(runs[0].table, run.table, unit) for run in runs[1:]}
    values: dict[str, Any] = {
        "unit": unit or "image",
        "units": len(runs[0].table) if unit is None else runs[0].table[unit].nunique(),
        "resamples": RESAMPLES,
        "intervals": found,
        "ccc_minus_first": {"first": runs[0].label, "runs": differences},
        "runs": {},
    }
    with mpl.rc_context(style.RC):
        figure = Figure(figsize=(15, 3.9 * (1 + len(runs)) + 0.4), layout="constrained")
        figure.suptitle(
            f"{source(runs)}; intervals: 95% bootstrap over {unit or 'image'}s", fontsize=11, color=style.NOTE
        )
        top, *rows = cast(Any, figure.subfigures(1 + len(runs), 1, squeeze=False)[:, 0])
        panels = top.subplots(1, 3, width_ratios=(1, 1.5, 1.5))
        count, _ = plane_errors(runs[0].table)
        values["count"] = count
        _heat(panels[0], np.where(count > 0, count, np.nan), "Test faces", "number of faces", None)
        for axes, axis in zip(panels[1:], AXES, strict=True):
            _forest(axes, axis, runs, found, differences)
        worst = max(float(np.nanmax(one)) for run in runs for one in plane_errors(run.table)[1].values())
        for run, row in zip(runs, rows, strict=True):
            values["runs"][run.label] = _row(row, run, unit, worst)
    return figure, values


def _row(panel: Any, run: Run, unit: str | None, worst: float) -> dict[str, Any]:
    panel.suptitle(run.label, fontsize=12, fontweight="bold", x=0.01, ha="left")
    first, second, third, fourth = panel.subplots(1, 4)
    _, errors = plane_errors(run.table)
    for axes, axis in zip((first, second), AXES, strict=True):
        _heat(axes, errors[axis], f"Error of {axis}", "mean absolute error", worst)
    _circumplex(third, run)
    bins = {axis: calibration(run.table, axis, unit) for axis in AXES}
    fourth.plot([-1, 1], [-1, 1], color=style.FAINT, linewidth=1)
    for axis, every in bins.items():
        one = Calibration(*(column[every.faces >= _FEW] for column in every))
        spread = np.stack([one.label - one.low, one.high - one.label]).clip(min=0)
        line: dict[str, Any] = {"color": style.OF_AXIS[axis], "marker": _MARKERS[axis], "capsize": 2, "markersize": 5}
        fourth.errorbar(one.predicted, one.label, spread, linewidth=1.3, label=axis, **line)
    fourth.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal", xlabel="prediction (mean of bin)", ylabel="mean label, 95%")
    fourth.set_title("Calibration")
    fourth.legend(loc="upper left")
    return {"mean_absolute_error": errors, "calibration": bins}


def _heat(axes: Axes, cells: Array, title: str, unit: str, highest: float | None) -> None:
    """Cells (B, B) by valence and arousal; NaN stays white."""
    image = axes.imshow(
        cells.T, origin="lower", extent=(-1, 1, -1, 1), cmap=f"{style.SEQUENTIAL}_r", vmin=0, vmax=highest
    )
    plane_axes(axes)
    axes.grid(visible=False)
    axes.set_title(title)
    cast(Figure, axes.figure).colorbar(image, ax=axes, shrink=0.8, label=unit, pad=0.02)


def _circumplex(axes: Axes, run: Run) -> None:
    """Predictions on the plane, each marked by the quadrant of its label."""
    step = -(-len(run.table) // _MOST)
    table = run.table.iloc[::step]
    code = quadrants(table)
    plane_axes(axes)
    axes.add_patch(Circle((0, 0), 1, fill=False, color=style.FAINT, linewidth=0.8))
    for number, (name, marker, colour) in enumerate(zip(QUADRANTS, style.MARKERS, style.QUADRANTS, strict=True)):
        chosen = table[code == number]
        dots: dict[str, Any] = {"s": 9, "marker": marker, "color": colour, "linewidth": 0, "rasterized": True}
        axes.scatter(chosen["predicted_valence"], chosen["predicted_arousal"], alpha=0.6, label=name, **dots)
    for name, (x, y) in _FEELINGS.items():
        axes.text(x, y, name, fontsize=8, ha="center", color=style.NOTE, style="italic")
    axes.set_title("Predictions by quadrant of the label")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, fontsize=7, markerscale=1.6)


def _forest(
    axes: Axes, axis: str, runs: Sequence[Run], found: dict[str, Any], differences: dict[str, dict[str, Difference]]
) -> None:
    """CCC of every run with its interval, and the difference to the first run in words."""
    height = np.arange(len(runs))[::-1]
    for y, run in zip(height, runs, strict=True):
        one = found[run.label][f"ccc_{axis}"]
        spread = [[one.value - one.low], [one.high - one.value]]
        axes.errorbar(one.value, y, xerr=spread, fmt=_MARKERS[axis], color=style.OF_AXIS[axis], capsize=3, markersize=6)
        text = f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"
        if run.label in differences:
            other = differences[run.label][axis]
            text += f";  {other.value:+.3f} ({other.low:+.3f} to {other.high:+.3f}), {p_value(other.p)}"
        axes.annotate(text, (0, y), (0, 11), xycoords=("axes fraction", "data"), textcoords="offset points", fontsize=8)
    axes.set_yticks(height, [run.label for run in runs])
    axes.set_ylim(-0.6, len(runs) - 0.2)
    axes.grid(visible=False, axis="y")
    axes.set_title(f"CCC of {axis}" + (f"; difference to {runs[0].label}" if differences else ""), fontsize=10)
