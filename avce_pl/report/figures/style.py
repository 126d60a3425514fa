"""One look for every figure: readable in print and in grey."""

import io
import os
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from avce_pl.errors import AvceError

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

_WRITTEN = ("png", "svg")


def save(figure: Figure, stem: Path) -> list[Path]:
    """Writes ``<stem>.png`` and ``<stem>.svg``; the same figure gives the same bytes, and a file appears whole or not.

    Raises:
        AvceError: the folder cannot be written.
    """
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in _WRITTEN]
    with mpl.rc_context(RC | {"svg.hashsalt": stem.name}):
        for kind, path in zip(_WRITTEN, paths, strict=True):
            drawn = io.BytesIO()
            figure.savefig(drawn, format=kind, metadata={"Date": None} if kind == "svg" else None)
            write(path, drawn.getvalue() if kind == "png" else _numbered(drawn.getvalue()))
    return paths


def write(path: Path, content: bytes) -> None:
    """Writes a file that appears whole or not.

    Raises:
        AvceError: the folder cannot be written.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        raise AvceError(f"{path} cannot be written: {error.strerror}. Choose another folder.") from None


def _numbered(svg: bytes) -> bytes:
    """Numbers the identifiers: they are hashes of positions, and the layout's solver varies in their last bits."""
    order: dict[bytes, bytes] = {}
    pattern = re.compile(rb'(?<=["#])(\w*?)[0-9a-f]{10}(?=[")])')
    return pattern.sub(lambda found: order.setdefault(found[0], b"%s-%d" % (found[1], len(order))), svg)
