"""The model in a run's folder: where it lies and how faces have to look for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avce_pl.errors import AvceError
from avce_pl.image.size import resize_side
from avce_pl.runs.identity import run_digest
from avce_pl.runs.records import read_config, read_identity, read_metrics
from avce_pl.runs.specification import DEFAULT_MARGIN, Specification
from avce_pl.utils.resources import TRAIN


@dataclass(frozen=True)
class RunFolder:
    """A run's folder with a trained model.

    Attributes:
        path: the folder.
        config: its ``config.yaml``.
        classes: number of expressions that the model tells apart; 0 for valence and arousal.
        specification: how faces have to look.
    """

    path: Path
    config: Mapping[str, Any]
    classes: int
    specification: Specification

    @property
    def checkpoint(self) -> Path:
        """The best weights."""
        return self.path / "checkpoints" / "best.ckpt"


def open_run(path: Path | str) -> RunFolder:
    """Opens a run's folder with a trained model.

    Raises:
        AvceError: the folder holds no trained run, or is damaged.
    """
    path = Path(path)
    if not (path / "config.yaml").is_file() or not (path / "checkpoints" / "best.ckpt").is_file():
        raise AvceError(
            f"{path} holds no trained run (config.yaml and checkpoints/best.ckpt). Give the folder that "
            f"`{TRAIN}` printed at its end."
        )
    config = read_config(path)
    dataset, image_size = config["dataset"], int(config["dataset"]["image_size"])
    identity = read_identity(path)
    if not identity:
        raise AvceError(f"{path / 'identity.json'} is missing. Restore it, or train again.")
    return RunFolder(
        path,
        config,
        identity.get("dataset.classes", 0),
        Specification(
            image_size=image_size,
            resize_size=resize_side(image_size, dataset.get("resize_size")),
            margin=_margin(path),
            digest=run_digest(identity),
        ),
    )


def _margin(path: Path) -> float:
    """The margin of the crops of training, from the run's record; the default where it is unknown."""
    margin = read_metrics(path).get("data", {}).get("margin")  # None: imported, still training, or not recorded
    return DEFAULT_MARGIN if margin is None else float(margin)
