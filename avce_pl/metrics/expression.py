"""Accuracy, F1 and confusion of expressions over a whole split, for the discrete mode."""

from typing import ClassVar

from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix, MulticlassF1Score

from avce_pl.errors import AvceError


class ExpressionMetrics(MetricCollection):
    """Computes ``accuracy``, ``accuracy_macro`` (mean over the classes), ``f1_macro`` and the ``confusion`` matrix.

    ``confusion`` holds counts, (classes, classes), a row per true class and a column per predicted one. A class that is
    neither among the labels nor among the predictions does not enter the means over classes.

    Args:
        classes: Number of expressions.

    Example:
        >>> import torch
        >>> metrics = ExpressionMetrics(classes=3)
        >>> metrics.update(torch.eye(3)[[0, 1, 1]], torch.tensor([0, 1, 2]))
        >>> {name: round(value.item(), 3) for name, value in metrics.compute().items() if name != "confusion"}
        {'accuracy': 0.667, 'accuracy_macro': 0.667, 'f1_macro': 0.556}
    """

    maximised: ClassVar = ("accuracy", "accuracy_macro", "f1_macro")

    def __init__(self, classes: int) -> None:
        super().__init__(
            {
                "accuracy": MulticlassAccuracy(classes, average="micro"),
                "accuracy_macro": MulticlassAccuracy(classes, average="macro"),
                "f1_macro": MulticlassF1Score(classes, average="macro"),
                "confusion": MulticlassConfusionMatrix(classes),
            }
        )

    def update(self, prediction: Tensor, target: Tensor) -> None:  # type: ignore[override]
        """Adds a batch: (N, classes) logits and (N,) classes.

        Raises:
            AvceError: a logit is NaN or infinite; the greatest of them would mean nothing.
        """
        if not prediction.isfinite().all():
            raise AvceError("Predicted logits are NaN or infinite: the training has diverged. Lower the learning rate.")
        super().update(prediction, target)
