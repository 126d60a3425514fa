"""Reads weights without executing anything, and fills an encoder with pretrained ones."""

from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from avce_pl.errors import AvceError


def load_weights(module: nn.Module, weights: str | None, published: WeightsEnum, prefix: str = "") -> None:
    """Loads pretrained weights into a network; does nothing when `weights` is ``None``.

    Args:
        module: the network to fill.
        weights: ``None``, ``"imagenet"`` (torchvision's published weights, from torch's download cache or the
            network) or the path of a file holding a state dict. The file may hold more than the network needs.
        published: torchvision's weights entry for ``"imagenet"``.
        prefix: the name of `module` inside the published network, such as ``"features."``.

    Raises:
        AvceError: the file is missing, cannot be downloaded, is not a plain state dict or does not fit.
    """
    if weights is None:
        return
    if weights == "imagenet":
        try:
            state = published.get_state_dict(progress=True, check_hash=True)
        except (URLError, OSError, RuntimeError) as error:
            name = Path(published.url).name
            folder = Path(torch.hub.get_dir()) / "checkpoints"
            raise AvceError(
                f"backbone.weights=imagenet: {name} could not be downloaded ({error}). Download it from "
                f"{published.url} on a machine with a network and put it into {folder}."
            ) from error
    else:
        state = read_state_dict(Path(weights))
    wanted = module.state_dict()
    found = {key: state[name] for key in wanted for name in (prefix + key, key) if name in state}
    missing = sorted(wanted.keys() - found.keys())
    if missing:
        raise AvceError(
            f"backbone.weights={weights} does not fit this backbone: {len(missing)} of {len(wanted)} tensors are "
            f"not in it, the first is {prefix}{missing[0]}. Give the weights of this very network."
        )
    wrong = [key for key in wanted if wanted[key].shape != found[key].shape]
    if wrong:
        key = wrong[0]
        raise AvceError(
            f"backbone.weights={weights} does not fit this backbone: {key} has shape {tuple(found[key].shape)} "
            f"there and {tuple(wanted[key].shape)} here. Give the weights of this very network."
        )
    module.load_state_dict(found)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Reads a file of named tensors without executing anything it contains.

    Raises:
        AvceError: the file is missing, or holds something else than named tensors.
    """
    if not path.is_file():
        raise AvceError(f"The weights file {path} does not exist. Give the path of a file written by torch.save.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen unrelated types for a file that is not a checkpoint
        raise AvceError(
            f"The weights file {path} cannot be read as plain tensors ({type(error).__name__}). It was not "
            "executed. Save a state dict with torch.save(model.state_dict(), path)."
        ) from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise AvceError(
            f"The weights file {path} holds no state dict. Save one with torch.save(model.state_dict(), path)."
        )
    return state
