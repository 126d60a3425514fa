"""The panels of a run that predicts expressions: confusion, accuracy of each class, and faces."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from PIL import Image

from avce_pl.report.figures import style

FACES_PER_CLASS = 5


def confusion_matrix(axes: Axes, classes: Sequence[str], confusion: Sequence[Sequence[int]]) -> None:
    """Shares of the predictions for each true class as shades, with the counts in figures."""
    counts = np.array(confusion)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        axes.text(
            column,
            row,
            f"{count:,}",
            ha="center",
            va="center",
            color="white" if shares[row, column] > 0.5 else style.TRUE,
        )
    axes.set_xticks(range(len(classes)), classes, rotation=30, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_title("Faces of each true class by predicted class; shade: share of the true class")
    axes.grid(visible=False)


def class_accuracy(axes: Axes, record: dict[str, Any]) -> None:
    """A bar per class: the share of its faces that are recognised; the mean over all faces as a line."""
    classes, counts, test = record["data"]["classes"], np.array(record["confusion"]), record["test"]
    faces = counts.sum(1)
    shares = np.diag(counts) / np.maximum(faces, 1)
    axes.bar(range(len(classes)), shares, color=style.AROUSAL, width=0.7)
    for position, (share, total) in enumerate(zip(shares, faces, strict=True)):
        label = f"{share:.2f}" if total else "no faces"
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axes.text(position, share + 0.02, label, ha="center", fontsize=9, bbox=box, zorder=3)
    axes.axhline(test["test/accuracy"], color=style.VALENCE, linewidth=1.2)
    axes.set_xticks(range(len(classes)), [f"{name}\n{n:,}" for name, n in zip(classes, faces, strict=True)])
    axes.set(ylim=(0, 1.1), ylabel="accuracy")
    axes.set_title(
        f"Accuracy {test['test/accuracy']:.3f} (line), mean over classes {test['test/accuracy_macro']:.3f}, "
        f"macro F1 {test['test/f1_macro']:.3f}"
    )


def gallery(panel: SubFigure, faces: pd.DataFrame, classes: Sequence[str]) -> None:
    """Faces by true class, a column each, under them what was predicted."""
    grid = panel.subplots(FACES_PER_CLASS, len(classes), squeeze=False)
    for code, (name, column) in enumerate(zip(classes, grid.T, strict=True)):
        of_class = faces[faces["expression"] == code].to_dict("records")
        column[0].set_title(name, loc="center", fontsize=10)
        for position, axes in enumerate(column):
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            if position < len(of_class):
                face = of_class[position]
                axes.imshow(Image.open(io.BytesIO(face["png"])))
                right = face["predicted_expression"] == code
                predicted = classes[face["predicted_expression"]]
                colour, weight = (style.TRUE, "normal") if right else (style.VALENCE, "bold")
                axes.set_xlabel(predicted, fontsize=8, color=colour, fontweight=weight, labelpad=2)
    panel.suptitle("Faces by true class; below each the prediction, in bold where wrong", fontsize=11)
