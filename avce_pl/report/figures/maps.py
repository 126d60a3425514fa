"""Figures 3 and 4: activation maps of several methods, and of R beside H, with their share on parts of the face."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from avce_pl.report.figures import style
from avce_pl.report.figures.parts import face, overlay, source
from avce_pl.report.metrics import AXES, Array
from avce_pl.report.statistics import gini, groups, mean_difference, resampling_unit
from avce_pl.runs.explanation import Explanation
from avce_pl.runs.predictions import Run

FEATURES = ("eyes", "brows", "mouth", "nose")
_NARROWEST = 11.0
"""Inches; the two panels of bars and the title need them, however few faces are shown."""
_GREYS = ("#1f2937", "#9ca3af", "#4b5563", "#d1d5db", "#6b7280", "#e5e7eb")
_HATCHES = ("", "", "///", "...", "xxx", "\\\\\\")


@dataclass(frozen=True, eq=False)
class Maps:
    """The maps of one output of one run.

    Attributes:
        name: their printed name.
        shown: of the faces that are shown, (F, h, w).
        shares: of many faces, (N, R) on each of `regions`; NaN for a map of zeros.
        cells: of the same, (N, cells), for their sparseness.
    """

    name: str
    shown: NDArray[np.float32]
    shares: Array
    cells: Array


def draw_methods(
    runs: Sequence[Run], shown: Sequence[Explanation], many: Sequence[Explanation]
) -> tuple[Figure, dict[str, Any]]:
    """Figure 3: maps of valence and arousal of R(z), methods side by side.

    Args:
        runs: tested on the same faces.
        shown: of each run, of the faces to show, with images.
        many: of each run, of the same faces, as many as there are or 1000.

    Returns:
        The figure, and its numbers: shares of the maps on the parts of the face.
    """
    maps = {
        axis: [_maps(run.label, f"R {axis}", one, other) for run, one, other in zip(runs, shown, many, strict=True)]
        for axis in AXES
    }
    title = "Grad-CAM of R(z)"
    return _draw(title, runs, shown[0], many[0], maps), {"shares": _shares_of(maps, many[0])}


def draw_heads(run: Run, shown: Explanation, many: Explanation) -> tuple[Figure, dict[str, Any]]:
    """Figure 4: maps of R(z) beside those of H on the sparse feature, and whether the latter are sparser.

    Args:
        run: a run whose method trains H.
        shown: of the faces to show, with images.
        many: of as many faces as there are, or 1000.

    Returns:
        The figure, and its numbers: shares; the share of faces whose sparse feature is a single coordinate; and the
        Gini index of the maps with a paired test, whole people or videos resampled.
    """
    heads = {"R": "R(z)", "H": "H(Sp(z))"}
    maps = {axis: [_maps(name, f"{head} {axis}", shown, many) for head, name in heads.items()] for axis in AXES}
    table = run.table.set_index("row").loc[many.rows].reset_index()
    unit = resampling_unit(run.table)
    sparseness: dict[str, Any] = {"unit": unit or "image", "one_hot": float(np.mean(many.support == 1))}
    lines = []
    for axis, (first, second) in maps.items():
        index = [gini(one.cells) for one in (first, second)]
        zeros = [int(np.isnan(one).sum()) for one in index]
        both = ~np.isnan(index[0] + index[1])
        sparseness[axis] = {"faces": int(both.sum()), "maps_of_zeros": dict(zip(heads, zeros, strict=True))}
        if not both.any():
            lines.append(
                f"{axis}: not comparable, no map in {zeros[0]:,} (R) and {zeros[1]:,} (H) of {len(both):,} faces"
            )
            continue
        found = mean_difference((index[1] - index[0])[both], groups(table[both], unit))
        means = [float(one[both].mean()) for one in index]
        sparseness[axis] |= {"gini_R": means[0], "gini_H": means[1], "H_minus_R": found}
        lines.append(
            f"{axis}, {both.sum():,} faces: Gini index of the maps {means[0]:.3f} for R, {means[1]:.3f} for H; "
            f"difference {found.value:+.3f} (95% {found.low:+.3f} to {found.high:+.3f}), {p_value(found.p)}"
        )
    figure = _draw(f"{run.label}: Grad-CAM of R(z) and of H(Sp(z))", [run], shown, many, maps, lines)
    return figure, {"shares": _shares_of(maps, many), "sparseness": sparseness}


def p_value(p: float) -> str:
    """A p-value as printed in a text."""
    return "p ≤ 0.001" if p <= 0.001 else f"p = {p:.3f}"


def _maps(name: str, output: str, shown: Explanation, many: Explanation) -> Maps:
    cells = many.map_of(output).astype(np.float64)
    return Maps(name, shown.map_of(output), many.shares[:, many.column(output)], cells.reshape(len(cells), -1))


def _draw(
    title: str,
    runs: Sequence[Run],
    shown: Explanation,
    many: Explanation,
    maps: Mapping[str, Sequence[Maps]],
    lines: Sequence[str] = (),
) -> Figure:
    columns, rows = len(shown.rows), sum(len(one) for one in maps.values())
    side = min(1.35, 11.0 / columns)
    heights = [side * (1 + rows) + 0.9, 3.2 if len(many.regions) else 0.1]
    with mpl.rc_context(style.RC):
        width = max(side * columns + 1.6, _NARROWEST)
        figure = Figure(figsize=(width, sum(heights) + 0.5 + 0.25 * len(lines)), layout="constrained")
        figure.suptitle("\n".join([f"{title}; {source(runs)}", *lines]), fontsize=10, color=style.NOTE)
        top, bottom = cast(Any, figure.subfigures(2, 1, height_ratios=heights))
        _gallery(top, runs[0], shown, maps)
        if len(many.regions):
            panels = bottom.subplots(1, len(maps), sharey=True)
            for axes, (axis, one) in zip(panels, maps.items(), strict=True):
                _bars(axes, axis, one, many)
            panels[0].set_ylim(0, None)
    return figure


def _gallery(panel: SubFigure, run: Run, shown: Explanation, maps: Mapping[str, Sequence[Maps]]) -> None:
    """Faces in columns, and below them the maps: first all of valence, then all of arousal."""
    labels = run.table.set_index("row").loc[shown.rows]
    names = [(axis, one) for axis, several in maps.items() for one in several]
    grid: Any = panel.subplots(1 + len(names), len(shown.rows), squeeze=False)
    for column, (_, label) in enumerate(labels.iterrows()):
        face(grid[0, column], shown.images[column])
        grid[0, column].set_title(f"V {label['valence']:+.2f}\nA {label['arousal']:+.2f}", fontsize=8, loc="center")
        for row, (axis, one) in enumerate(names):
            axes = grid[1 + row, column]
            overlay(axes, shown.images[column], one.shown[column])
            if column == 0:
                axes.set_ylabel(f"{axis}\n{one.name}", fontsize=9)


def _bars(axes: Axes, axis: str, several: Sequence[Maps], many: Explanation) -> None:
    """Mean share ± sd on each part of the face and on all four; a line across each group at that of a uniform map."""
    columns = [many.regions.tolist().index(name) for name in FEATURES]
    width = 0.8 / len(several)
    for number, one in enumerate(several):
        mean, sd = _mean_and_sd(one.shares[:, columns])
        place = np.arange(len(mean)) - 0.4 + width * (number + 0.5)
        bars: dict[str, Any] = {"color": _GREYS[number], "hatch": _HATCHES[number], "edgecolor": style.TRUE}
        axes.bar(place, mean, width * 0.9, linewidth=0.6, label=one.name, **bars)
        axes.errorbar(place, mean, sd, fmt="none", ecolor=style.VALENCE, elinewidth=1.2, capsize=2)
    for position, share in enumerate(_mean_and_sd(many.areas[:, columns])[0]):
        label = "uniform map" if position == 0 else None
        axes.plot([position - 0.45, position + 0.45], [share, share], color=style.AROUSAL, linewidth=2, label=label)
    axes.set_xticks(range(len(FEATURES) + 1), [*FEATURES, "all four"])
    axes.set_title(f"{axis.capitalize()}: share of the map, mean ± sd", fontsize=10)
    axes.grid(visible=False, axis="x")
    axes.legend(fontsize=8, loc="upper left")


def _mean_and_sd(shares: Array) -> tuple[Array, Array]:
    """Of (N, K) shares and their sum over the K, without maps of zeros: (K + 1,) each; NaN if all maps are."""
    shares = np.column_stack([shares, shares.sum(axis=1)])
    known = shares[~np.isnan(shares).any(axis=1)]
    if not len(known):
        return np.full(shares.shape[1], np.nan), np.full(shares.shape[1], np.nan)
    return known.mean(axis=0), known.std(axis=0)


def _shares_of(maps: Mapping[str, Sequence[Maps]], many: Explanation) -> dict[str, Any]:
    """Mean and sd over the faces on each part, and on eyes, brows, mouth and nose together."""
    if not len(many.regions):
        return {}
    names = many.regions.tolist()
    features, others = ([name for name in names if (name in FEATURES) == wanted] for wanted in (True, False))

    def described(shares: Array) -> dict[str, Any]:
        mean, sd = _mean_and_sd(shares[:, [names.index(name) for name in features]])
        others_mean, others_sd = _mean_and_sd(shares[:, [names.index(name) for name in others]])
        keys = [*features, "all four", *others]
        return {
            "maps_of_zeros": int(np.isnan(shares).any(axis=1).sum()),
            "mean": dict(zip(keys, [*mean, *others_mean[:-1]], strict=True)),
            "sd": dict(zip(keys, [*sd, *others_sd[:-1]], strict=True)),
        }

    found: dict[str, Any] = {"faces": len(many.rows), "uniform": described(many.areas)}
    return found | {axis: {one.name: described(one.shares) for one in several} for axis, several in maps.items()}
