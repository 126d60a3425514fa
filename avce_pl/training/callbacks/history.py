"""The learning curve as a CSV file that survives interruptions."""

from pathlib import Path
from typing import Any

import pandas as pd
from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities import rank_zero_only

from avce_pl.errors import AvceError
from avce_pl.utils.files import atomic_write


class History(Logger):
    """Writes ``history.csv``: one row per logged step, columns ``epoch``, ``step``, ``train/loss``, ``val/ccc_mean``...

    Lightning's own CSVLogger deletes the file when a run is resumed. This one keeps the rows up to the step at
    which the run resumes.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._rows: list[dict[str, float]] = []
        self._fresh = True

    @property
    def name(self) -> str:
        """The file's stem."""
        return self.path.stem

    @property
    def version(self) -> str:
        """There is one history per run folder."""
        return ""

    @property
    @rank_zero_experiment
    def experiment(self) -> "History":
        """The logger itself."""
        return self

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Does nothing: the run folder holds the whole configuration."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Adds the values of one step; values of the same step share a row."""
        if any(key.startswith("test/") for key in metrics):
            return  # a learning curve has no test values
        step = step or 0
        if self._fresh:
            self._fresh = False
            if self.path.exists():
                self._rows = self._before(step)
        if not self._rows or self._rows[-1]["step"] != step:
            self._rows.append({"step": step})
        self._rows[-1].update(metrics)

    def _before(self, step: int) -> list[dict[str, Any]]:
        try:
            old = pd.read_csv(self.path).to_dict("records")
            return [{str(k): v for k, v in row.items()} for row in old if row["step"] < step]
        except (ValueError, KeyError, TypeError) as error:
            raise AvceError(
                f"{self.path} is damaged ({error!r}). Delete it and run the same command again; the learning curve "
                "then begins there."
            ) from None

    @rank_zero_only
    def save(self) -> None:
        """Writes the file whole, then puts it in place."""
        if self._rows:
            atomic_write(self.path, pd.DataFrame(self._rows).to_csv(index=False))

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Writes what is left."""
        self.save()
