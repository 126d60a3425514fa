"""What the best model says about every test face."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from torch import Tensor

from avce_pl.dataset.core.augmentation import IMAGENET_MEAN, IMAGENET_STD
from avce_pl.runs.select_rows import spread
from avce_pl.utils.files import atomic_path

FACES = 40


class PredictionWriter(pl.Callback):
    """Collects the test split's predictions, and some faces to look at.

    Afterwards `table` has one row per test image: the index's columns, ``predicted_valence`` and
    ``predicted_arousal``; `faces` has some of these rows, spread over the plane, with a ``png`` each. Where expressions
    are told apart the columns are ``predicted_expression`` and a ``probability_<class>`` each, and the faces are spread
    over the classes.
    """

    def __init__(self, index: pd.DataFrame, split: str, classes: Sequence[str] = ()) -> None:
        """Prepares the callback.

        Args:
            index: the data set's index; the ``row`` of a batch counts its rows.
            split: the split that is tested on.
            classes: names of the expressions to tell apart; none for valence and arousal.
        """
        self.index = index
        self.split = split
        self.classes = classes
        self._rows: list[Tensor] = []
        self._predictions: list[Tensor] = []
        self._faces: dict[int, bytes] = {}
        self._wanted: set[int] = set()

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Chooses the faces to keep."""
        test = np.flatnonzero((self.index["split"] == self.split).to_numpy())
        if self.classes:
            chosen = of_each_class(self.index["expression"].to_numpy()[test], FACES // len(self.classes))
        else:
            chosen = spread(self.index[["valence", "arousal"]].to_numpy()[test], FACES)
        self._wanted = {int(row) for row in test[chosen]}

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keeps one batch's predictions."""
        self._rows.append(batch["row"].cpu())
        self._predictions.append(outputs.cpu())
        for position, row in enumerate(batch["row"].tolist()):
            if row in self._wanted:
                self._faces[row] = _png(batch["image"][position])

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Collects what the processes have seen."""
        if trainer.world_size > 1:
            shares: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(shares, (self._rows, self._predictions, self._faces))
            self._rows = [batch for rows, _, _ in shares for batch in rows]
            self._predictions = [batch for _, predictions, _ in shares for batch in predictions]
            self._faces = {row: png for _, _, faces in shares for row, png in faces.items()}

    @property
    def table(self) -> pd.DataFrame:
        """The predictions in the order of the index."""
        rows = torch.cat(self._rows).numpy()
        prediction = torch.cat(self._predictions)
        table = self.index.iloc[rows].drop(columns="split")
        table.insert(0, "row", rows)
        if self.classes:
            table["predicted_expression"] = prediction.argmax(1).numpy()
            columns = [f"probability_{name.lower()}" for name in self.classes]
            table[columns] = prediction.softmax(1).numpy()
        else:
            table[["predicted_valence", "predicted_arousal"]] = prediction.numpy()
        return table.sort_values("row", ignore_index=True)

    @property
    def faces(self) -> pd.DataFrame:
        """The chosen rows of `table` with the image that the network saw, as PNG."""
        table = self.table
        table = table[table["row"].isin(self._faces)].reset_index(drop=True)
        return table.assign(png=[self._faces[row] for row in table["row"]])

    def write(self, folder: Path) -> None:
        """Writes ``predictions.parquet`` and ``test_faces.parquet``."""
        for name, table in (("predictions", self.table), ("test_faces", self.faces)):
            with atomic_path(folder / f"{name}.parquet") as temporary:
                table.to_parquet(temporary, index=False)


def of_each_class(classes: np.ndarray, count: int) -> np.ndarray:
    """Chooses at most `count` positions of each class, evenly over the rows: (N,) codes -> (M,) positions."""
    rows = [np.flatnonzero(classes == code) for code in np.unique(classes)]
    return np.concatenate([r[np.unique(np.linspace(0, len(r) - 1, count).astype(int))] for r in rows])


def _png(image: Tensor) -> bytes:
    mean, std = (torch.tensor(v, device=image.device).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    pixels = ((image * std + mean) * 255).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
    return bytes(cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1])
