"""The networks of a finished run, as inference needs them: encoder, compressor, regressor, and what comes before."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from avce_pl.backbone.base import Backbone, read_state_dict
from avce_pl.backbone.heads import Regressor
from avce_pl.building import build
from avce_pl.dataset.augmentation import normalise
from avce_pl.errors import AvceError
from avce_pl.image.size import resize_side
from avce_pl.predict.specification import DEFAULT_MARGIN, Specification
from avce_pl.report.records import read_config, read_identity, read_metrics


class InferenceNetwork(nn.Module):
    """All that the test pipeline does with a cropped face: centre crop, normalisation, E, C and R."""

    def __init__(self, backbone: Backbone, regressor: Regressor, image_size: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.regressor = regressor
        self.image_size = image_size

    def forward(self, faces: Tensor) -> Tensor:
        """Predicts from cropped faces: (N, S, S, 3) uint8 RGB, S >= `image_size` -> (N, 2) valence, arousal."""
        prediction: Tensor = self.regressor(self.backbone(self.normalised(faces)))
        return prediction

    def normalised(self, faces: Tensor) -> Tensor:
        """Cuts the centre out and normalises: (N, S, S, 3) uint8 -> (N, 3, `image_size`, `image_size`) float32."""
        start = (faces.shape[1] - self.image_size) // 2
        stop = start + self.image_size
        return normalise(faces[:, start:stop, start:stop].permute(0, 3, 1, 2).contiguous())


@dataclass(frozen=True)
class RunFolder:
    """What a run's folder says about the model in it.

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

    def network(self) -> InferenceNetwork:
        """Builds the networks on the CPU, in evaluation mode, with the best weights.

        Raises:
            AvceError: the model tells expressions apart, or the checkpoint cannot be read or is not of the networks
                that ``config.yaml`` describes.
        """
        if self.classes:
            raise AvceError(
                f"{self.path} holds a model of {self.classes} expressions, but predictions are of valence and arousal. "
                "Give a run that was trained on those; `load_run` of avce_pl.experiment opens this one."
            )
        state = read_state_dict(self.checkpoint)
        network = build_network(self.config)
        wanted = {key for key in state if key.startswith(("backbone.", "regressor."))}
        try:
            network.load_state_dict({key: state[key] for key in wanted}, assign=True)
        except RuntimeError as error:
            raise AvceError(
                f"{self.checkpoint} does not hold the networks that {self.path / 'config.yaml'} describes: "
                f"{str(error).splitlines()[-1].strip()}"
            ) from error
        return network.eval().requires_grad_(False)

    def predictor(self) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
        """The function that predicts on the best device there is: (N, S, S, 3) uint8 RGB -> (N, 2)."""
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network = self.network().to(device).to(memory_format=torch.channels_last)  # 1.4 times as fast on a CPU

        @torch.inference_mode()
        def predict(faces: NDArray[np.uint8]) -> NDArray[np.float32]:
            prediction: NDArray[np.float32] = network(torch.from_numpy(faces).to(device)).cpu().numpy()
            return prediction

        return predict


def open_run(path: Path | str) -> RunFolder:
    """Reads what a run's folder says about its model.

    Raises:
        AvceError: the folder holds no trained run, or is damaged.
    """
    path = Path(path)
    if not (path / "config.yaml").is_file() or not (path / "checkpoints" / "best.ckpt").is_file():
        raise AvceError(
            f"{path} holds no trained run (config.yaml and checkpoints/best.ckpt). Give the folder that "
            "`python run.py` printed at its end."
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


def build_network(config: Mapping[str, Any]) -> InferenceNetwork:
    """The networks of a configuration for valence and arousal, without memory for their weights (device ``meta``)."""
    dataset, method = config["dataset"], config["method"]
    with torch.device("meta"):  # nor random numbers: the weights come from a checkpoint
        backbone = cast(Backbone, build({**config["backbone"], "weights": None}, "backbone"))
        regressor = Regressor(
            backbone.latent_dim,
            hidden=backbone.regressor_hidden,
            batch_norm=method.get("batch_norm", True),
        )
    return InferenceNetwork(backbone, regressor, dataset["image_size"])


def run_digest(identity: Mapping[str, Any]) -> str:
    """SHA-256 over the settings and data that decide a run's result, the content of its ``identity.json``."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _margin(path: Path) -> float:
    """How training's crops were made, by the run's record; the default where nobody knows."""
    margin = read_metrics(path).get("data", {}).get("margin")  # imported, still training, or not on record: None
    return DEFAULT_MARGIN if margin is None else float(margin)
