"""Parts that the figures of several runs share: faces under activation maps, the source line, files."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from avce_pl.report.figures import style
from avce_pl.report.metrics import AXES
from avce_pl.report.output import write_output
from avce_pl.runs.predictions import Run
from avce_pl.runs.records import CHOICES, tested_on_validation

_SIDE = 224  # pixels of a face in a figure
_HEAT = mpl.colormaps["inferno"]


def face(axes: Axes, image: NDArray[np.uint8]) -> None:
    """Shows a face, (S, S, 3) uint8 RGB."""
    _show(axes, cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC))


def overlay(axes: Axes, image: NDArray[np.uint8], cells: NDArray[np.float32]) -> None:
    """Shows a face in grey under its map: dark where the map is 0, bright and coloured at the map's own maximum.

    Args:
        axes: where to.
        image: (S, S, 3) uint8 RGB.
        cells: (h, w), non-negative; a map of zeros is marked as no map.
    """
    grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC) / 255
    heat = np.zeros_like(grey)
    if cells.max() > 0:
        heat = np.clip(cv2.resize(cells / cells.max(), (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR), 0, 1)
    else:
        axes.text(0.5, 0.06, "no map", transform=axes.transAxes, ha="center", color="white", fontsize=8)
    share = 0.6 * heat[..., None]
    light = grey[..., None] * (0.5 + 0.5 * heat[..., None])
    _show(axes, (255 * (light * (1 - share) + _HEAT(heat)[..., :3] * share)).round().astype(np.uint8))


def source(runs: Sequence[Run]) -> str:
    """One line that says which faces the runs were tested on."""
    names = sorted({str(run.record["dataset"]) for run in runs})
    if any(tested_on_validation(run.record) for run in runs):
        faces = "validation faces (which also chose the best epoch: optimistic)"
    else:
        faces = f"{'/'.join(sorted({str(run.record['data']['test_split']) for run in runs}))} faces"
    text = f"{len(runs[0].table):,} {faces} of {' and '.join(names)}"
    if any(run.synthetic for run in runs):
        text += " — procedural faces; not comparable with published results"
    return text


def write_figure(
    out: Path, name: str, figure: Figure, runs: Sequence[Run], caption: str, notes: Sequence[str], values: Any
) -> list[Path]:
    """Writes ``<name>.png``, ``.svg`` and ``.json``, which holds the numbers of the picture and its runs.

    Args:
        out: folder, which exists.
        name: such as "figure2".
        figure: the picture.
        runs: those that it shows.
        caption: what it shows, for a page or a paper.
        notes: sentences about what is missing, and caveats.
        values: its numbers, as `_plain` converts them.

    Returns:
        The files.
    """
    pictures = [
        style.write_png(figure, out / f"{name}.png"),
        write_output(out / f"{name}.svg", style.svg(figure, name)),
    ]
    described = [
        {
            "label": run.label,
            "folder": run.folder.as_posix(),
            **{key: run.record[key] for key in ("digest", "seed", *CHOICES)},
            "commit": run.record["run"]["commit"],
        }
        for run in runs
    ]
    content = {
        "figure": name,
        "caption": caption,
        "source": source(runs),
        "synthetic": any(run.synthetic for run in runs),
        "files": [path.name for path in pictures],
        "notes": list(notes),
        "runs": described,
        "values": _plain(values),
    }
    return [*pictures, write_output(out / f"{name}.json", json.dumps(content, indent=1, allow_nan=False))]


def empty_axes(axes: Axes) -> None:
    """Removes ticks, frame and grid."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)


def plane_axes(axes: Axes) -> None:
    """Valence and arousal from -1 to 1, with the lines through neutral."""
    ticks = [-1, -0.5, 0, 0.5, 1]
    axes.set(xlim=(-1.02, 1.02), ylim=(-1.02, 1.02), aspect="equal", xticks=ticks, yticks=ticks)
    axes.axhline(0, color=style.FAINT, linewidth=0.8)
    axes.axvline(0, color=style.FAINT, linewidth=0.8)
    axes.set(xlabel=AXES[0], ylabel=AXES[1])


def _show(axes: Axes, image: NDArray[Any]) -> None:
    axes.imshow(image, interpolation="antialiased")
    empty_axes(axes)


def _plain(value: Any) -> Any:
    """Converts to the types of JSON: arrays to lists, NaN to None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
