"""``run.py`` and ``avce`` in processes of their own, and what they leave."""

import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).parent.parent.parent


def start(*arguments: str, **options) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def finish(process: subprocess.Popen, timeout: float = 240) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def call(*arguments: str, **options) -> tuple[int, str, str]:
    return finish(start(*arguments, **options))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
