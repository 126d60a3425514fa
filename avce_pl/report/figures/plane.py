"""Pictures of label histograms over the valence/arousal plane."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure

from avce_pl.report.figures import style

_BLUE = to_rgb("#3b82f6")  # this and the grey can be seen on white and on black
_DENSITY = LinearSegmentedColormap.from_list("density", [(*_BLUE, 0.0), (*_BLUE, 1.0)])
_TEXT = "#7b8794"


def draw_plane(histogram: Sequence[Sequence[float]]) -> bytes:
    """A label histogram as a PNG with a transparent background, for light and for dark pages.

    Args:
        histogram: (bins, bins) counts over valence and arousal, both from -1 up.
    """
    counts = np.asarray(histogram, float)
    shares = np.sqrt(counts / max(counts.max(), 1e-9))  # the root shows the sparse bins beside the crowded ones
    settings = style.RC | {"axes.grid": False, "axes.edgecolor": _TEXT, "xtick.color": _TEXT, "ytick.color": _TEXT}
    with mpl.rc_context(settings):
        figure = Figure(figsize=(3.2, 3.2), layout="constrained")
        axes = figure.subplots()
        axes.axhline(0, color=_TEXT, linewidth=0.6, zorder=0)
        axes.axvline(0, color=_TEXT, linewidth=0.6, zorder=0)
        axes.imshow(shares.T, origin="lower", extent=(-1, 1, -1, 1), cmap=_DENSITY, vmin=0, vmax=1)
        axes.set_xlabel("valence", color=_TEXT)
        axes.set_ylabel("arousal", color=_TEXT)
        axes.set_xticks([-1, 0, 1])
        axes.set_yticks([-1, 0, 1])
    return style.png(figure, transparent=True)
