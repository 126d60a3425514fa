"""Figure 2: valence and arousal of one video, frame by frame, with faces and activation maps at chosen frames."""

from collections.abc import Sequence
from string import ascii_lowercase
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from avce_pl.report.figures import style
from avce_pl.report.figures.parts import face, overlay, source
from avce_pl.report.metrics import AXES, measure
from avce_pl.runs.explanation import Explanation
from avce_pl.runs.predictions import Run

_WIDTH = 12.0


def draw_curves(
    runs: Sequence[Run], video: str, frames: NDArray[np.int64], chosen: NDArray[np.int64], maps: Sequence[Explanation]
) -> tuple[Figure, dict[str, Any]]:
    """Draws the figure.

    Args:
        runs: tested on the same faces.
        video: its name.
        frames: (T,) positions of the video's frames in the runs' tables, in order.
        chosen: (F,) which of these have faces and maps below.
        maps: of each run, of these F faces, with images.

    Returns:
        The figure, and its numbers: the curves, the frames, and the CCC of each run on this video.
    """
    tables = [run.table.iloc[frames] for run in runs]
    numbers = tables[0]["frame"].to_numpy()
    agreement = [measure(table, "ccc") for table in tables]
    side = _WIDTH / len(chosen)
    heights = (4.6, min(side, 2.2) + 0.4 + len(runs) * (min(side / 2, 1.25) + 0.2))
    with mpl.rc_context(style.RC):
        figure = Figure(figsize=(_WIDTH, sum(heights) + 0.4), layout="constrained")
        figure.suptitle(f"Video {video}, among {source(runs)}", fontsize=11, color=style.NOTE)
        top, bottom = cast(Any, figure.subfigures(2, 1, height_ratios=heights))
        panels = top.subplots(2, 1, sharex=True)
        for axes, axis in zip(panels, AXES, strict=True):
            _curves(axes, axis, runs, tables, agreement)
            for letter, frame in zip(ascii_lowercase, numbers[chosen], strict=False):
                axes.axvline(frame, color=style.FAINT, linewidth=0.9, linestyle=(0, (2, 2)))
                if axis == AXES[0]:
                    place = {"xycoords": ("data", "axes fraction"), "ha": "center", "va": "bottom"}
                    axes.annotate(letter, (frame, 1.0), fontweight="bold", **place)
        panels[1].set_xlabel("frame")
        top.align_ylabels()
        _faces(bottom, runs, tables, chosen, maps)
    curves = {
        run.label: {axis: table[f"predicted_{axis}"].to_numpy() for axis in AXES}
        for run, table in zip(runs, tables, strict=True)
    }
    return figure, {
        "video": video,
        "frames": numbers,
        "chosen_frames": numbers[chosen],
        "label": {axis: tables[0][axis].to_numpy() for axis in AXES},
        "predicted": curves,
        "ccc_of_this_video": {run.label: values for run, values in zip(runs, agreement, strict=True)},
    }


def _curves(
    axes: Axes, axis: str, runs: Sequence[Run], tables: Sequence[Any], agreement: Sequence[dict[str, float]]
) -> None:
    numbers = tables[0]["frame"].to_numpy()
    axes.axhline(0, color=style.FAINT, linewidth=0.8)
    axes.plot(numbers, tables[0][axis], color=style.TRUE, linewidth=2.6, label="label", zorder=3)
    for run, table, values, (colour, dashes) in zip(runs, tables, agreement, style.SERIES, strict=False):
        name = f"{run.label} (CCC {values[axis]:.2f})"
        axes.plot(numbers, table[f"predicted_{axis}"], color=colour, linestyle=dashes, linewidth=1.6, label=name)
    axes.set(ylabel=axis, xlim=(numbers.min(), numbers.max()))
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, -0.5), max(high, 0.5))
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), handlelength=3.2)


def _faces(
    panel: SubFigure, runs: Sequence[Run], tables: Sequence[Any], chosen: NDArray[np.int64], maps: Sequence[Explanation]
) -> None:
    """The chosen faces, and under each the maps of valence and arousal of every run."""
    grid: Any = panel.add_gridspec(1 + len(runs), 2 * len(chosen), height_ratios=(1.75, *(1,) * len(runs)))
    for column, frame in enumerate(chosen):
        label = tables[0].iloc[frame]
        axes = panel.add_subplot(grid[0, 2 * column : 2 * column + 2])
        face(axes, maps[0].images[column])
        axes.set_title(
            f"{ascii_lowercase[column]}  frame {label['frame']}\nV {label['valence']:+.2f}  A {label['arousal']:+.2f}",
            fontsize=9,
            loc="center",
        )
        for row, (run, explained, table) in enumerate(zip(runs, maps, tables, strict=True)):
            for k, axis in enumerate(AXES):
                axes = panel.add_subplot(grid[1 + row, 2 * column + k])
                overlay(axes, explained.images[column], explained.map_of(f"R {axis}")[column])
                predicted = table.iloc[frame][f"predicted_{axis}"]
                axes.set_xlabel(f"{axis[0].upper()} {predicted:+.2f}", fontsize=8, labelpad=2)
                if column == 0 and k == 0:
                    axes.set_ylabel(run.label.replace(" ", "\n", 1), fontsize=9)
