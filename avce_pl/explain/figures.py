"""The paper's figures, and analyses beyond it, from run folders: what is shown, and who computes and draws it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from avce_pl.errors import AvceError
from avce_pl.report.figures.analysis import draw_analysis
from avce_pl.report.figures.curves import draw_curves
from avce_pl.report.figures.latent import draw_latent
from avce_pl.report.figures.maps import draw_heads, draw_methods
from avce_pl.report.figures.parts import write_figure
from avce_pl.report.metrics import AXES
from avce_pl.runs.explanation import Explanation
from avce_pl.runs.predictions import Run, missing_methods, require_same_faces
from avce_pl.runs.select_rows import evenly, numbered, peaks, spread, video_frames

_SHOWN = 8  # faces of Figures 3 and 4
_MANY = 1000  # faces whose maps and latents are measured
_MOST_RUNS = 6  # beside each other
_FINE = 6  # cells along the side of a map that shows parts of a face


@dataclass(frozen=True)
class FigureChoice:
    """What to show; None or empty where the program chooses.

    Attributes:
        video: name of the video of Figure 2.
        frames: its frames with faces and maps.
        images: rows of the data set's index whose maps Figures 3 and 4 show, as in ``predictions.parquet``.
    """

    video: str | None = None
    frames: Sequence[int] = ()
    images: Sequence[int] = ()


@dataclass(frozen=True)
class Drawing:
    """A picture with its caption, notes and numbers; see `write_figure`."""

    name: str
    figure: Figure
    runs: Sequence[Run]
    caption: str
    notes: Sequence[str]
    values: Mapping[str, Any]


@dataclass
class WrittenFigures:
    """The written files, and sentences about what was left out, and caveats."""

    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def make_figures(
    name: str, runs: Sequence[Run], out: Path, choice: FigureChoice, notes: Sequence[str] = ()
) -> WrittenFigures:
    """Draws one figure, or all that the runs allow.

    Args:
        name: one of `FIGURES`, or "all".
        runs: finished runs.
        out: folder for the files, which exists.
        choice: what to show.
        notes: first sentences, which every figure's file repeats.

    Returns:
        What was written.

    Raises:
        AvceError: the figure cannot be drawn from these runs; for "all", none can.
    """
    made = WrittenFigures(notes=list(notes))
    for each in FIGURES if name == "all" else [name]:
        try:
            drawings = FIGURES[each](runs, choice)
        except AvceError as error:
            if name != "all":
                raise
            made.notes.append(f"{each} was left out: {error}")
            continue
        for one in drawings:
            noted = [*notes, *one.notes]
            made.files += write_figure(out, one.name, one.figure, one.runs, one.caption, noted, one.values)
            made.notes += [note for note in one.notes if note not in made.notes]
    if not made.files:
        raise AvceError("\n".join(made.notes))
    return made


def _figure2(runs: Sequence[Run], choice: FigureChoice) -> list[Drawing]:
    _require_few(runs)
    table = runs[0].table
    video, frames = video_frames(table, choice.video)
    numbers = table["frame"].to_numpy()[frames]
    labels = table[["valence", "arousal"]].to_numpy()[frames]
    chosen = numbered(choice.frames, numbers, "--frames") if choice.frames else peaks(labels)
    maps = [_explain(run, frames[chosen], "frames.npz", images=True) for run in runs]
    figure, values = draw_curves(runs, video, frames, chosen, maps)
    caption = (
        f"Valence and arousal of video {video}, frame by frame: the label and what each run predicts. Below, the "
        f"{'chosen frames' if choice.frames else 'frames where the labels are strongest'} with Grad-CAM of valence "
        "(left) and arousal (right) of R(z)."
    )
    return [Drawing("figure2", figure, runs, caption, [*missing_methods(runs), *_about(maps)], values)]


def _figure3(runs: Sequence[Run], choice: FigureChoice) -> list[Drawing]:
    _require_few(runs)
    shown, many = _shown_and_many(runs, choice)
    figure, values = draw_methods(runs, shown, many)
    caption = (
        "Grad-CAM of valence and arousal of R(z) at the encoder's last feature maps, each map scaled to its own "
        f"maximum, and how much of it lies on which part of the face, over {len(many[0].rows):,} test faces."
    )
    return [Drawing("figure3", figure, runs, caption, [*missing_methods(runs), *_about(many)], values)]


def _figure4(runs: Sequence[Run], choice: FigureChoice) -> list[Drawing]:
    _require_few(runs)
    shown, many = _shown_and_many(runs, choice)
    with_head = [position for position, one in enumerate(many) if "H valence" in one.outputs]
    if not with_head:
        raise AvceError(
            "Figure 4 compares the maps of R with those of the projection head H, which no run trains. Give one of "
            "method=avce with a contrastive formula."
        )
    drawings = []
    for position in with_head:
        run = runs[position]
        figure, values = draw_heads(run, shown[position], many[position])
        notes = [*_about([many[position]]), *_without_map(run, many[position])]
        caption = (
            f"{run.label}: Grad-CAM of R(z) beside that of H on the sparse feature Sp(z), each map scaled to its own "
            f"maximum; below, how much of it lies on which part of the face, over {len(many[position].rows):,} test "
            "faces. The Gini index is 0 for a uniform map and near 1 for a single cell."
        )
        name = "figure4" if len(with_head) == 1 else f"figure4-{_slug(run.label)}"
        drawings.append(Drawing(name, figure, [run], caption, notes, values))
    return drawings


def _figure5(runs: Sequence[Run], choice: FigureChoice) -> list[Drawing]:
    explained, alive, notes = [], [], missing_methods(runs)
    for run in runs:
        one = _explain(run, evenly(len(run.table), _MANY), "survey.npz")
        if one.latent.std(axis=0).any():
            alive.append(run)
            explained.append(one)
        else:
            notes.append(
                f"{run.label} is left out of figure5: its latent is the same for every face, so the network is dead."
            )
    if not alive:
        raise AvceError(" ".join(notes))
    figure, values = draw_latent(alive, explained)
    sizes = [str(size) for size in sorted({one.latent.shape[1] for one in explained})]
    caption = (
        f"t-SNE of the latent z ({', '.join(sizes)} dimensions) of {len(explained[0].rows):,} test faces, coloured by "
        "their labels. Distances between groups mean nothing in t-SNE; the shares of equal neighbours are those in z."
    )
    return [Drawing("figure5", figure, alive, caption, notes, values)]


def _analysis(runs: Sequence[Run], choice: FigureChoice) -> list[Drawing]:
    require_same_faces(runs)
    figure, values = draw_analysis(runs)
    unit = values["unit"]
    caption = (
        f"CCC with 95% intervals from {values['resamples']:,} bootstrap resamples of {values['units']:,} "
        f"{unit}s, and paired differences to {runs[0].label}; for each run mean absolute errors over the plane, "
        "predictions by quadrant of the label, and mean label by size of the prediction. Intervals and tests are "
        f"about other {unit}s, not about another training."
    )
    few = [f"Only {values['units']} {unit}s: intervals from so few are too narrow."] if values["units"] < 20 else []
    return [Drawing("analysis", figure, runs, caption, few, values)]


FIGURES: dict[str, Callable[[Sequence[Run], FigureChoice], list[Drawing]]] = {
    "figure2": _figure2,
    "figure3": _figure3,
    "figure4": _figure4,
    "figure5": _figure5,
    "analysis": _analysis,
}
"""The figures by name."""


def _shown_and_many(runs: Sequence[Run], choice: FigureChoice) -> tuple[list[Explanation], list[Explanation]]:
    """For each run the faces to show, and those to measure."""
    table = runs[0].table
    if choice.images:
        positions = numbered(choice.images, table["row"].to_numpy(), "--images")
    else:
        positions = spread(table[["valence", "arousal"]].to_numpy(), _SHOWN)
    many = evenly(len(table), _MANY)
    shown = [_explain(run, positions, "images.npz", images=True) for run in runs]
    return shown, [_explain(run, many, "survey.npz") for run in runs]


def _explain(run: Run, positions: NDArray[np.int64], file: str, *, images: bool = False) -> Explanation:
    """Maps and latents of some rows of a run's table."""
    from avce_pl.explain.run import explain_run  # imports torch, which the analysis does not need

    return explain_run(run, run.table["row"].to_numpy(np.int64)[positions], file, images=images)


def _require_few(runs: Sequence[Run]) -> None:
    require_same_faces(runs)
    if len(runs) > _MOST_RUNS:
        raise AvceError(f"{len(runs)} runs do not fit beside each other. Choose up to {_MOST_RUNS} with --runs.")


def _about(explained: Sequence[Explanation]) -> list[str]:
    """Caveats of maps."""
    notes = []
    if (cells := min(min(one.maps.shape[2:]) for one in explained)) < _FINE:
        notes.append(
            f"Maps of {cells} × {cells} cells are too coarse for parts of a face; train at dataset.image_size=224."
        )
    if not all(len(one.regions) for one in explained):
        notes.append("Shares are missing: where eyes, brows, mouth and nose are is known for procedural faces only.")
    return notes


def _without_map(run: Run, many: Explanation) -> list[str]:
    """At how many faces H has no map, and why."""
    missing = ~np.any([many.map_of(f"H {axis}").any(axis=(1, 2)) for axis in AXES], axis=0)
    if not missing.any():
        return []
    single = int((missing & (many.support == 1)).sum())
    return [
        f"{run.label}: H has no gradient, and no map, at {missing.sum():,} of {len(missing):,} faces; at {single:,} as "
        f"the sparse feature is a single coordinate (backbone.latent_norm=batch prevents that), at "
        f"{missing.sum() - single:,} for other reasons, such as coordinates that ReLU has put to 0."
    ]


def _slug(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")
