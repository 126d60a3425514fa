"""The picture of one run: its test faces, how well they were predicted, and the learning curve."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import Circle
from matplotlib.ticker import MaxNLocator
from PIL import Image

from avce_pl.report.figures import style
from avce_pl.report.figures.expression import class_accuracy, confusion_matrix, gallery
from avce_pl.report.tables.contrast import contrast_state, describe_contrast
from avce_pl.runs.records import OPTIMISTIC, is_procedural, tested_on_validation

CCC = {f"val/ccc_{axis}": (f"CCC {axis}", colour) for axis, colour in style.OF_AXIS.items()}
ACCURACY = {
    "val/accuracy": ("accuracy", style.AROUSAL),
    "val/accuracy_macro": ("mean accuracy of the classes", style.VALENCE),
}


def draw_run(folder: Path, record: dict[str, Any]) -> Path:
    """Draws ``figure.png`` into a run's folder from the files beside it.

    Args:
        folder: the run's folder, with ``predictions.parquet``, ``test_faces.parquet`` and ``history.csv``.
        record: what ``metrics.json`` holds.

    Returns:
        The path of the picture.
    """
    table = pd.read_parquet(folder / "predictions.parquet")
    faces = pd.read_parquet(folder / "test_faces.parquet")
    history = pd.read_csv(folder / "history.csv")
    with mpl.rc_context(style.RC):
        figure = Figure(figsize=(15, 8.6), layout="constrained")
        left, right = cast(Any, figure.subfigures(1, 2, width_ratios=(1.12, 1)))
        top, bottom = right.subfigures(2, 1)
        if "classes" in record["data"]:
            matrix, faces_panel = left.subfigures(2, 1, height_ratios=(1, 1.5))
            confusion_matrix(matrix.subplots(), record["data"]["classes"], record["confusion"])
            gallery(faces_panel, faces, record["data"]["classes"])
            class_accuracy(top.subplots(), record)
            learning_curve(bottom.subplots(), history, ACCURACY, "accuracy")
        else:
            plane(left.subplots(), faces, record["data"]["test_split"])
            for axes, (name, colour) in zip(top.subplots(1, 2), style.OF_AXIS.items(), strict=True):
                agreement(axes, table, record, name, colour)
            learning_curve(bottom.subplots(), history, CCC, "CCC")
        figure.suptitle(caption(record, len(table)), fontsize=11, color=style.NOTE)
    return style.write_png(figure, folder / "figure.png")


def caption(record: dict[str, Any], faces: int) -> str:
    """The line that says what the numbers are of, and one for each warning."""
    text = (
        f"{record['method'].upper()} ({record['backbone']}, {record['crl_formula']}, mining {record['mining']}, "
        f"seed {record['seed']}) on {faces:,} {record['data']['test_split']} faces of {record['dataset']}"
    )
    if is_procedural(record["dataset"], record):
        text += " — procedural faces of people never seen in training; not comparable with published numbers"
    if tested_on_validation(record):
        text += f"\n{OPTIMISTIC}"
    if contrast_state(record, record) == "dead":
        text += f"\nContrast {describe_contrast(record)}"
    return text


def plane(axes: Axes, faces: pd.DataFrame, split: str) -> None:
    """Places faces at their true point, with a line to the predicted one."""
    axes.set(xlim=(-1.12, 1.12), ylim=(-1.12, 1.12), aspect="equal")
    faces_of = "Test" if split == "test" else "Validation"
    axes.set_title(f"{faces_of} faces at their true valence and arousal; the line leads to the prediction")
    axes.set_xlabel("valence  (unpleasant → pleasant)")
    axes.set_ylabel("arousal  (calm → excited)")
    axes.add_patch(Circle((0, 0), 1, fill=False, color=style.FAINT, linewidth=0.8))
    axes.axhline(0, color=style.FAINT, linewidth=0.8)
    axes.axvline(0, color=style.FAINT, linewidth=0.8)
    rows = faces.to_dict("records")
    for row in rows:
        image = Image.open(io.BytesIO(row["png"])).resize((96, 96), Image.Resampling.LANCZOS)
        box = OffsetImage(np.asarray(image), zoom=0.46)
        axes.add_artist(
            AnnotationBbox(box, (row["valence"], row["arousal"]), pad=0.12, bboxprops={"edgecolor": style.FAINT})
        )
    for row in rows:
        true, predicted = (row["valence"], row["arousal"]), (row["predicted_valence"], row["predicted_arousal"])
        valence, arousal = zip(true, predicted, strict=True)
        axes.plot(valence, arousal, color="white", linewidth=3.2, zorder=5)
        axes.plot(valence, arousal, color=style.TRUE, linewidth=1.1, zorder=6)
    dots: dict[str, Any] = {"zorder": 7, "edgecolor": "white", "linewidth": 0.8}
    axes.scatter(faces["valence"], faces["arousal"], s=26, color=style.TRUE, label="true", **dots)
    axes.scatter(
        faces["predicted_valence"],
        faces["predicted_arousal"],
        s=46,
        color=style.VALENCE,
        marker="D",
        label="predicted",
        **dots,
    )
    axes.legend(loc="upper right", ncols=2)


def agreement(axes: Axes, table: pd.DataFrame, record: dict[str, Any], name: str, colour: str) -> None:
    """Predicted against true values of one axis, over the whole test split."""
    axes.plot([-1, 1], [-1, 1], color=style.FAINT, linewidth=1)
    predicted = table[f"predicted_{name}"]
    axes.scatter(table[name], predicted, s=6, alpha=0.35, color=colour, linewidth=0)
    beyond = (predicted.abs() > 1).sum()
    ticks = [-1, -0.5, 0, 0.5, 1]
    axes.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal", xticks=ticks, yticks=ticks)
    axes.set(xlabel=f"true {name}", ylabel=f"predicted {name}" + (f" ({beyond:,} beyond ±1)" if beyond else ""))
    test = record["test"]
    axes.set_title(f"{name.capitalize()}: CCC {test[f'test/ccc_{name}']:.3f}")


def learning_curve(axes: Axes, history: pd.DataFrame, metrics: Mapping[str, tuple[str, str]], unit: str) -> None:
    """Validation metrics (column -> name and colour) per epoch, and training loss per logged batch."""
    validation = history.dropna(subset=list(metrics))
    epoch = validation["epoch"] + 1
    last = epoch.max()
    for column, (name, colour) in metrics.items():
        axes.plot(epoch, validation[column], "o-", color=colour, markersize=4, label=f"validation {name}")
    axes.set(xlabel="epoch", ylabel=unit, xlim=(0, 1.03 * last), ylim=(min(0.0, *axes.get_ylim()), 1))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title("Learning curve")
    training = history.reindex(columns=["step", "train/loss"]).dropna()  # none logged in a run of a few batches
    loss = axes.twinx()
    per_epoch = history["step"].max() / last
    loss.plot(
        training["step"] / per_epoch, training["train/loss"], color=style.FAINT, linewidth=0.8, label="training loss"
    )
    loss.set(ylabel="training loss", ylim=(0, None))
    loss.grid(visible=False)
    loss.spines["right"].set_visible(True)
    lines = [*axes.get_lines(), *loss.get_lines()]
    axes.legend(handles=lines, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3)
    axes.set_zorder(loss.get_zorder() + 1)
    axes.patch.set_visible(False)
