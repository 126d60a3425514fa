"""The pictures of a table: every row's mean ± sd beside what it is compared with, and confusion matrices."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from avce_pl.report.figures import style
from avce_pl.report.figures.expression import confusion_matrix
from avce_pl.report.tables.layout import Row
from avce_pl.report.tables.table import ResultTable


def write_pictures(table: ResultTable, folder: Path, name: str) -> list[Path]:
    """Writes ``<name>.png``, and ``<name>_confusion.png`` for a table of expressions, and returns their paths.

    Raises:
        AvceError: a file cannot be written.
    """
    pictures = {name: draw_table(table)}
    if table.confusions:
        pictures[f"{name}_confusion"] = draw_confusions(table)
    return [style.write_png(figure, folder / f"{stem}.png") for stem, figure in pictures.items()]


def draw_table(table: ResultTable) -> Figure:
    """Draws a table as dots with error bars, one panel per metric.

    A row of one run has no error bar. Published values are drawn where the data may be compared with theirs.
    """
    layout, names = table.layout, [_row_name(table, row) for row in table.rows]
    height = np.arange(len(names))[::-1]
    reference = [layout.is_reference(row) for row in table.rows]
    with mpl.rc_context(style.RC):
        columns = min(2, len(layout.metrics))  # valence and arousal beside each other
        lines = -(-len(layout.metrics) // columns)
        size = 4.2 * columns + 1.6, lines * (0.36 * len(names) + 0.6) + 1.3
        title = _caption(layout.title, *_warnings(table), inches=size[0])
        size = size[0], size[1] + 0.18 * title.count("\n")
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(lines, columns, sharey=True, squeeze=False).flat
        for axes in panels[len(layout.metrics) :]:
            axes.set_axis_off()
        for axes, metric in zip(panels, layout.metrics, strict=False):
            values = table.lines[table.lines["metric"] == metric]
            colour = next((c for axis, c in style.OF_AXIS.items() if axis in metric), style.TRUE)
            spread = values["sd"].to_numpy(float)
            bars: dict[str, Any] = {"fmt": "o", "color": colour, "capsize": 3, "markersize": 6, "elinewidth": 1.4}
            label, ends = ("here, one run", None) if np.isnan(spread).all() else ("here, mean ± sd", spread)
            axes.errorbar(values["mean"], height, xerr=ends, label=label, **bars)
            if np.isfinite(middle := values["mean"].to_numpy(float)[reference]).any():
                axes.axvline(middle[0], color=style.FAINT, linestyle="--", linewidth=1.2, label="reference")
            if table.has_difference:
                axes.scatter(
                    values["published"],
                    height,
                    marker="D",
                    s=34,
                    facecolor="none",
                    edgecolor=style.TRUE,
                    label="published",
                )
            axes.set_title(table.titled(metric))
            axes.set_ylim(-0.7, len(names) - 0.3)
            axes.set_yticks(height, names)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        figure.suptitle(title, fontsize=11, color=style.NOTE)
    return figure


def draw_confusions(table: ResultTable) -> Figure:
    """Draws the confusion matrix of every trained row, all its seeds together."""
    with mpl.rc_context(style.RC):
        size = 1.2 + 6.2 * len(table.confusions), 5.6
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(1, len(table.confusions), squeeze=False)[0]
        for axes, (row, classes, counts) in zip(panels, table.confusions, strict=True):
            confusion_matrix(axes, classes, counts)
            axes.set_title(" · ".join(table.named(row)))
        shade = "Faces of each true class by predicted class, all seeds together; shade: share of the true class"
        caption = _caption(table.layout.title, *_warnings(table), shade, inches=size[0])
        figure.suptitle(caption, fontsize=11, color=style.NOTE)
    return figure


def _warnings(table: ResultTable) -> Sequence[str]:
    """The warnings of a table; without any, its first note, which says where its numbers are from."""
    return table.warnings or table.notes[:1]


def _row_name(table: ResultTable, row: Row) -> str:
    name = " · ".join(table.named(row))
    dead = [part for part in table.contrast.get(row, "").split("; ") if part.startswith("dead")]
    return f"{name} (contrast {dead[0]})" if dead else name


def _caption(*texts: str, inches: float) -> str:
    """The texts below each other, broken to the width of the picture."""
    return "\n".join(textwrap.fill(text, int(12 * inches)) for text in texts)
