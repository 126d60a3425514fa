"""AVCE-PL: contrastive valence/arousal learning as a PyTorch Lightning experiment suite."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avce_pl.inference.model import load

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> object:
    if name == "load":  # on demand: `avce --help` and the tables need neither OpenCV nor torch
        from avce_pl.inference.model import load

        return load
    if name == "__version__":
        from importlib.metadata import version

        return version("avce-pl")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
