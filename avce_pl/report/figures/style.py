"""One style for every figure, readable in print and in grey."""

import io
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from avce_pl.report.output import write_output

VALENCE = "#c2410c"  # dark orange
AROUSAL = "#1d4ed8"  # blue, darker than the orange in grey
TRUE = "#111827"
FAINT = "#9ca3af"
NOTE = "#374151"  # captions, and texts beside the data
OF_AXIS = {"valence": VALENCE, "arousal": AROUSAL}

RC: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.grid": True,
    "grid.color": "#e5e7eb",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.dpi": 100,
    "savefig.dpi": 130,
    "figure.facecolor": "white",
}

SERIES: tuple[tuple[str, Any], ...] = (
    ("#1d4ed8", (0, (5, 1.5))),
    ("#047857", (0, (1.2, 1.2))),
    ("#c2410c", "solid"),
    ("#7c3aed", (0, (5, 1, 1, 1))),
    ("#be185d", (0, (8, 2))),
    ("#92400e", (0, (3, 1, 1, 1, 1, 1))),
)
"""Colour and dashes of the lines of several runs; in grey the dashes tell them apart."""

SEQUENTIAL = "viridis"  # its lightness rises evenly, for grey and for the colour-blind

QUADRANTS = ("#f59e0b", "#b91c1c", "#1e3a8a", "#34d399")  # of different lightness, for grey
MARKERS = ("o", "^", "s", "D")


def png(figure: Figure, *, transparent: bool = False) -> bytes:
    """A figure as a PNG; the same figure gives the same bytes."""
    drawn = io.BytesIO()
    with mpl.rc_context(RC):
        figure.savefig(drawn, format="png", transparent=transparent)
    return drawn.getvalue()


def svg(figure: Figure, name: str) -> bytes:
    """A figure as an SVG; the same figure and name give the same bytes."""
    drawn = io.BytesIO()
    with mpl.rc_context(RC | {"svg.hashsalt": name}):
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    return _numbered(drawn.getvalue())


def write_png(figure: Figure, path: Path) -> Path:
    """Writes a figure as a PNG and returns its path.

    Raises:
        AvceError: the file cannot be written.
    """
    return write_output(path, png(figure))


def _numbered(svg: bytes) -> bytes:
    """Numbers the identifiers: they are hashes of positions, and the layout's solver varies in their last bits."""
    order: dict[bytes, bytes] = {}
    pattern = re.compile(rb'(?<=["#])(\w*?)[0-9a-f]{10}(?=[")])')
    return pattern.sub(lambda found: order.setdefault(found[0], b"%s-%d" % (found[1], len(order))), svg)
