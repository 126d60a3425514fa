"""Fine-tuning: initial weights from another run (ours, not in the paper)."""

import logging
from pathlib import Path

from torch import Tensor, nn

from avce_pl.backbone.weights import read_state_dict
from avce_pl.errors import AvceError
from avce_pl.method.base import Method
from avce_pl.runs.folder import open_run

log = logging.getLogger(__name__)


def source_digest(run: Path) -> str:
    """The digest of the run that another one starts from.

    Raises:
        AvceError: the folder holds no run, or one that is still training, whose weights would change.
    """
    folder = open_run(run)
    if not (run / "metrics.json").is_file() and folder.config["method"]["name"] != "official":
        raise AvceError(f"init_from={run} has not finished its training. Let it finish first: run its command again.")
    return folder.specification.digest


def start_from(module: Method, run: Path) -> None:
    """Copies the networks of a finished run into a new one: the backbone, and the heads that are of the same shape.

    Raises:
        AvceError: the run's backbone is another one.
    """
    state = read_state_dict(open_run(run).checkpoint)
    taken, left = [], []
    for name, network in module.named_children():
        if not any(True for _ in network.parameters()):
            continue
        found = {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}
        if _fits(network, found):
            network.load_state_dict(found)
            taken.append(name)
        else:
            left.append(name)
    if "backbone" in left:
        raise AvceError(
            f"init_from={run} has another backbone. Choose the same one with backbone=..., with its options."
        )
    log.info("weights of %s from %s%s", ", ".join(taken), run, f"; {', '.join(left)} from scratch" if left else "")


def _fits(network: nn.Module, state: dict[str, Tensor]) -> bool:
    wanted = {key: value.shape for key, value in network.state_dict().items()}
    return wanted == {key: value.shape for key, value in state.items()}
