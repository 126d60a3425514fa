"""Where a result comes from: the commit, the versions and the kind of machine."""

import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch


def provenance() -> dict[str, Any]:
    """Versions and machine, as far as they help to repeat a run and name nobody."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=Path(__file__).parent, capture_output=True, text=True
    )
    packages = ("torch", "torchvision", "pytorch-lightning", "opencv-python-headless", "numpy")
    return {
        "commit": commit.stdout.strip() or None,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
