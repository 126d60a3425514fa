"""A look at the machine: each fault with its fix."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from avce_pl.utils.resources import TRAIN
from avce_pl.utils.wandb_key import has_key

Finding = tuple[str, bool, str, str]  # what, whether it is well, what was found, the fix

_PACKAGES = (
    "torch",
    "torchvision",
    "pytorch-lightning",
    "hydra-core",
    "cvxpy",
    "cvxpylayers",
    "torchmetrics",
    "wandb",
    "albumentations",
    "opencv-python-headless",
)

_IMPORT = """
import json, torch, torchvision, pytorch_lightning
print(json.dumps({
    "torch": torch.__version__, "torchvision": torchvision.__version__, "threads": torch.get_num_threads(),
    "cuda": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    "mps": torch.backends.mps.is_available(),
}))
"""


def examine() -> int:
    """Prints every finding; returns 1 if something is wrong, 0 otherwise."""
    findings = list(_findings())
    table = Table("", "what", "found")
    for what, well, found, _ in findings:
        table.add_row("[green]ok[/]" if well else "[red]no[/]", what, found)
    console = Console()
    console.print(table)
    faults = [(what, fix) for what, well, _, fix in findings if not well]
    for what, fix in faults:
        console.print(f"[red]{what}[/]: {fix}")
    return 1 if faults else 0


def _findings() -> Iterator[Finding]:
    python = "{}.{}.{}".format(*sys.version_info[:3])
    fine = (3, 11) <= sys.version_info[:2] <= (3, 13)
    yield "Python", fine, python, "Use Python 3.11, 3.12 or 3.13: remove .venv, then make setup PYTHON=python3.12."
    for name in _PACKAGES:
        try:
            yield name, True, version(name), ""
        except PackageNotFoundError:
            yield name, False, "not installed", "Run `make setup`."
    names = {d.metadata["Name"].lower() for d in distributions()}
    if "albumentationsx" in names:
        fix = (
            "It has albumentations' import name and another licence: run .venv/bin/pip uninstall albumentationsx, "
            "then make setup."
        )
        yield "albumentationsx", False, "installed beside albumentations", fix
    yield from _torch()
    yield _write_access("outputs", Path("outputs").absolute())
    yield "W&B", True, _wandb_state(), ""


def _torch() -> Iterator[Finding]:
    # in a process of its own: a mismatched pair fails at import
    result = subprocess.run([sys.executable, "-c", _IMPORT], capture_output=True, text=True)
    if result.returncode:
        reason = result.stderr.strip().splitlines()[-1] if result.stderr.strip() else "no message"
        fix = (
            "torch and torchvision must come from the same index and belong together: remove .venv and run "
            "`make setup`, which installs the pinned pair."
        )
        yield "torch with torchvision", False, f"the import fails: {reason}", fix
        return
    found = json.loads(result.stdout.strip().splitlines()[-1])
    yield "torch with torchvision", True, f"{found['torch']} with {found['torchvision']}", ""
    devices = [*found["cuda"], *(["Apple MPS"] if found["mps"] else []), f"CPU, {found['threads']} threads"]
    yield "devices", True, "; ".join(devices), ""


def _write_access(what: str, folder: Path) -> Finding:
    parent = folder
    while not parent.exists():
        parent = parent.parent
    try:
        with tempfile.NamedTemporaryFile(dir=parent):
            pass
    except OSError as error:
        fix = f"Give {TRAIN} another place: output_root=/some/folder ({error.strerror})."
        return f"writing to {what}", False, f"{parent} is not writable", fix
    return f"writing to {what}", True, str(folder), ""


def _wandb_state() -> str:
    if os.environ.get("WANDB_MODE"):
        return f"WANDB_MODE={os.environ['WANDB_MODE']} is set, logger.mode decides all the same"
    return "a key is configured: online" if has_key() else "no key: offline (`wandb login` changes that)"
