"""One look for every figure: readable in print and in grey."""

from typing import Any

VALENCE = "#c2410c"  # dark orange
AROUSAL = "#1d4ed8"  # blue, darker than the orange in grey
TRUE = "#111827"
FAINT = "#9ca3af"

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
