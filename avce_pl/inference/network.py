"""The networks of a finished run, as inference needs them: encoder, compressor, regressor, and the input pipeline."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from avce_pl.backbone.base import Backbone
from avce_pl.backbone.heads import Regressor, regressor_of
from avce_pl.backbone.weights import read_state_dict
from avce_pl.config.instantiate import build, target_class, without_weights
from avce_pl.dataset.core.augmentation import normalise
from avce_pl.errors import AvceError
from avce_pl.runs.folder import RunFolder

_AS_THEY_ARE = (
    *("avce_pl.method.avce.AVCE", "avce_pl.method.released.ReleasedAVCE"),
    *("avce_pl.method.baseline.Baseline", "avce_pl.method.dlp.DLP"),
)
"""Methods that change no backbone, whose class need not be imported: Lightning takes a second."""


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


def load_network(run: RunFolder) -> InferenceNetwork:
    """Builds the networks of a run on the CPU, in evaluation mode, with the best weights.

    Raises:
        AvceError: the model tells expressions apart, or the checkpoint cannot be read or is not of the networks that
            ``config.yaml`` describes.
    """
    if run.classes:
        raise AvceError(
            f"{run.path} holds a model of {run.classes} expressions, but predictions are of valence and arousal. "
            "Give a run that was trained on those; `load_run` of avce_pl.training.build opens this one."
        )
    state = read_state_dict(run.checkpoint)
    network = build_network(run.config)
    wanted = {key for key in state if key.startswith(("backbone.", "regressor."))}
    try:
        network.load_state_dict({key: state[key] for key in wanted}, assign=True)
    except RuntimeError as error:
        raise AvceError(
            f"{run.checkpoint} does not hold the networks that {run.path / 'config.yaml'} describes: "
            f"{str(error).splitlines()[-1].strip()}"
        ) from error
    return network.eval().requires_grad_(False)


def load_predictor(run: RunFolder) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """The function that predicts on the best device there is: (N, S, S, 3) uint8 RGB -> (N, 2).

    Raises:
        AvceError: see `load_network`.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = load_network(run).to(device).to(memory_format=torch.channels_last)  # 1.4 times as fast on a CPU

    @torch.inference_mode()
    def predict(faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        prediction: NDArray[np.float32] = network(torch.from_numpy(faces).to(device)).cpu().numpy()
        return prediction

    return predict


def build_network(config: Mapping[str, Any]) -> InferenceNetwork:
    """The networks of a configuration for valence and arousal, without memory for their weights (device ``meta``)."""
    dataset, method = config["dataset"], config["method"]
    with torch.device("meta"):  # nor random numbers: the weights come from a checkpoint
        section, side = without_weights(config["backbone"]), dataset["image_size"]
        backbone = cast(Backbone, build(section, "backbone", image_size=side))
        regressor = _build_regressor(backbone, method)
    return InferenceNetwork(backbone, regressor, side)


def _build_regressor(backbone: Backbone, method: Mapping[str, Any]) -> Regressor:
    """The regressor as the method trains it; a method that changes the backbone changes it here too."""
    if method.get("_target_") in _AS_THEY_ARE or "_target_" not in method:
        return regressor_of(backbone, method)
    regressor: Regressor = target_class(method, "method").inference_regressor(backbone, method)
    return regressor
