"""Figure 5: t-SNE of the latent, coloured by valence, by arousal and by quadrant of the plane."""

from collections.abc import Sequence
from typing import Any, cast

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from avce_pl.errors import AvceError
from avce_pl.report.figures import style
from avce_pl.report.figures.parts import empty_axes, source
from avce_pl.report.metrics import AXES, Array
from avce_pl.runs.explanation import Explanation
from avce_pl.runs.predictions import Run
from avce_pl.utils.progress import track

QUADRANTS = ("pleasant, excited", "unpleasant, excited", "unpleasant, calm", "pleasant, calm")
"""Of (valence, arousal), counter-clockwise from both positive; 0 counts as positive."""

_NEIGHBOURS = 10
_FEWEST = 20


def draw_latent(runs: Sequence[Run], explained: Sequence[Explanation]) -> tuple[Figure, dict[str, Any]]:
    """Draws a row per run.

    Args:
        runs: the runs.
        explained: of each run, of the faces to show.

    Returns:
        The figure, and its numbers: for each run the places of the faces, and how often the 10 nearest neighbours in
        the latent (not in the picture) are of the same quadrant.

    Raises:
        AvceError: scikit-learn is missing, or there are too few faces.
    """
    values: dict[str, Any] = {}
    with mpl.rc_context(style.RC):
        figure = Figure(figsize=(12, 3.9 * len(runs) + 0.6), layout="constrained")
        figure.suptitle(f"t-SNE of the latent z; {source(runs)}", fontsize=11, color=style.NOTE)
        panels = cast(Any, figure.subplots(len(runs), 3, squeeze=False))
        bar = track(zip(runs, explained, panels, strict=True), "t-SNE", len(runs))
        for run, one, row in bar:
            labels = run.table.set_index("row").loc[one.rows, list(AXES)]
            quadrant = quadrants(labels)
            places = embed(one.latent.astype(np.float64), run)
            same, chance = neighbours(one.latent.astype(np.float64), quadrant)
            values[run.label] = {
                "latent_size": one.latent.shape[1],
                "rows": one.rows,
                "places": places.round(3),
                "same_quadrant_among_neighbours": same,
                "expected_by_chance": chance,
            }
            for axes, axis in zip(row, AXES, strict=False):
                most = float(np.quantile(np.abs(labels[axis]), 0.98))  # a few extremes would make the rest one colour
                dots = axes.scatter(*places.T, c=labels[axis], s=12, cmap=style.SEQUENTIAL, vmin=-most, vmax=most)
                figure.colorbar(dots, ax=axes, shrink=0.8, pad=0.01, extend="both")
                axes.set_title(axis.capitalize())
            for code, (name, marker, colour) in enumerate(zip(QUADRANTS, style.MARKERS, style.QUADRANTS, strict=True)):
                chosen = places[quadrant == code]
                row[2].scatter(
                    *chosen.T, s=14, marker=marker, color=colour, linewidth=0, label=f"{name} ({len(chosen)})"
                )
            row[2].set_title("Quadrant")
            row[2].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), markerscale=1.6)
            text = f"10 nearest in z of the\nsame quadrant: {same:.0%}\n(by chance {chance:.0%})"
            row[2].annotate(text, (1.03, 0.02), xycoords="axes fraction", fontsize=9, color=style.NOTE)
            for axes in row:
                empty_axes(axes)
            row[0].set_ylabel(run.label, fontsize=11)
    return figure, values


def quadrants(labels: pd.DataFrame) -> NDArray[np.int64]:
    """Position in `QUADRANTS` of each row of valence and arousal."""
    right, up = (labels[axis].to_numpy() >= 0 for axis in AXES)
    return np.where(up, np.where(right, 0, 1), np.where(right, 3, 2))


def embed(latent: Array, run: Run) -> Array:
    """t-SNE in two dimensions, the same in every run: (N, d), not all rows the same, -> (N, 2).

    Raises:
        AvceError: see `draw_latent`.
    """
    if len(latent) < _FEWEST:
        raise AvceError(f"{run.folder} has {len(latent)} test faces; t-SNE needs at least {_FEWEST}.")
    try:
        from sklearn.manifold import TSNE  # type: ignore[import-untyped]
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
    except ImportError:
        raise AvceError("Figure 5 needs scikit-learn. Install it with: pip install 'avce-pl[explain]'") from None
    perplexity = min(30.0, (len(latent) - 1) / 3)
    with threadpool_limits(1):  # sums over several threads differ from run to run
        places: Array = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(latent)
    return places


def neighbours(latent: Array, quadrant: NDArray[np.int64]) -> tuple[float, float]:
    """Share of the nearest neighbours of a face that are of its quadrant, and what it would be by chance.

    Args:
        latent: (N, d).
        quadrant: (N,) codes.
    """
    square = (latent**2).sum(axis=1)
    distance = square[:, None] + square - 2 * latent @ latent.T
    np.fill_diagonal(distance, np.inf)
    nearest = np.argsort(distance, axis=1, kind="stable")[:, : min(_NEIGHBOURS, len(latent) - 1)]
    same = quadrant[nearest] == quadrant[:, None]
    count = np.bincount(quadrant)
    return float(same.mean()), float((count * (count - 1)).sum() / (len(latent) * (len(latent) - 1)))
