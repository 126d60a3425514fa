"""The authors' published weights, as a run folder.

Names and shapes of the tensors are those of the released networks (kdhht2334/AVCE_FER, ``src/models.py``).
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from torch import Tensor

from avce_pl.backbone.weights import read_state_dict
from avce_pl.errors import AvceError
from avce_pl.inference.network import build_network

# released name -> ours, by prefix
_ENCODER = {
    "al": {"features.": "backbone.encoder."},
    "r18": {
        "conv1.": "backbone.encoder.0.",
        "bn1.": "backbone.encoder.1.",
        "layer1.": "backbone.encoder.4.",
        "layer2.": "backbone.encoder.5.",
        "layer3.": "backbone.encoder.6.",
        "layer4.": "backbone.encoder.7.",
    },
}
_REGRESSOR = {
    "al": {"lin0.": "backbone.compressor.3.", "lin1.": "regressor.1.", "va_regressor.": "regressor.3."},
    "r18": {
        "last_linear.": "backbone.compressor.2.",
        "lin0.": "backbone.compressor.4.",
        "lin1.": "regressor.1.",
        "va_regressor.": "regressor.3.",
    },
}
_BACKBONE: dict[str, dict[str, Any]] = {
    "al": {"name": "al", "_target_": "avce_pl.backbone.alexnet.AlexNet"},
    "r18": {"name": "r18", "_target_": "avce_pl.backbone.resnet.ResNet", "depth": 18},
}
_NOTE = (
    "The released training multiplies labels by 0.8, so predictions are on that scale; the released ResNet18 keeps its "
    "dropout on at test, here it is off."
)


@dataclass(frozen=True)
class Imported:
    """What was made of the two files.

    Attributes:
        folder: the run folder.
        unused: names of tensors that the forward pass does not use, as ``file: name``.
    """

    folder: Path
    unused: list[str]


def import_official(encoder: Path, regressor: Path, backbone: Literal["al", "r18"], out: Path) -> Imported:
    """Turns the authors' two weight files into a run folder that ``load``, ``predict`` and ``export`` accept.

    Args:
        encoder: state dict of the released encoder.
        regressor: state dict of the released regressor, which holds compressor and regressor.
        backbone: ``al`` for the released AlexNet, ``r18`` for ResNet18.
        out: the folder to make.

    Raises:
        AvceError: a file is missing, is not a plain state dict, or is not of these networks; `out` is there already or
            cannot be written.
    """
    if out.exists():
        raise AvceError(f"{out} is there already. Give --out a new folder.")
    config = {
        "name": "official",
        "backbone": _BACKBONE[backbone],
        "method": {"name": "official", "batch_norm": False},
        "dataset": {"name": "official", "image_size": 224, "resize_size": 256},
        "note": _NOTE,
    }
    wanted = build_network(config).state_dict()
    state: dict[str, Tensor] = {}
    unused: list[str] = []
    for file, names in ((encoder, _ENCODER[backbone]), (regressor, _REGRESSOR[backbone])):
        found, rest = _rename(read_state_dict(file), names, wanted, file, backbone)
        state |= found
        unused += [f"{file.name}: {name}" for name in rest]
    identity = {
        "backbone.name": backbone,
        "official.encoder.sha256": _sha256(encoder),
        "official.regressor.sha256": _sha256(regressor),
    }
    temporary: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        (temporary / "checkpoints").mkdir()
        torch.save({"state_dict": state}, temporary / "checkpoints" / "best.ckpt")
        (temporary / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        (temporary / "identity.json").write_text(json.dumps(identity, indent=1, sort_keys=True))
        temporary.chmod(0o777 & ~_umask())
        temporary.rename(out)
    except OSError as error:
        raise AvceError(f"{out} cannot be written: {error.strerror}. Give another --out.") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)  # gone already if it got its name
    return Imported(out, unused)


def _rename(
    released: Mapping[str, Tensor], names: Mapping[str, str], wanted: Mapping[str, Tensor], file: Path, backbone: str
) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors under our names, and the released names that have none here."""
    found: dict[str, Tensor] = {}
    unused: list[str] = []
    for name, value in released.items():
        prefix = next((prefix for prefix in names if name.startswith(prefix)), None)
        ours = names[prefix] + name.removeprefix(prefix) if prefix else ""
        if ours not in wanted:
            unused.append(name)
            continue
        if value.shape != wanted[ours].shape:
            raise AvceError(
                f"{file}: {name} has shape {tuple(value.shape)}, the released {backbone} has "
                f"{tuple(wanted[ours].shape)}. Give the weights of AVCE with valence and arousal, and their --backbone."
            )
        found[ours] = value.to(wanted[ours].dtype)
    expected = {ours: released + ours.removeprefix(prefix) for released, prefix in names.items() for ours in wanted
                if ours.startswith(prefix)}  # fmt: skip
    missing = [name for ours, name in expected.items() if ours not in found]
    if missing:
        there = ", ".join(sorted(released)[:3])
        raise AvceError(
            f"{file} lacks {len(missing)} of the {len(expected)} tensors of the released {backbone}, the first is "
            f"{missing[0]}; it holds {there}... Give the encoder first, then the regressor, and their --backbone."
        )
    return found, unused


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
