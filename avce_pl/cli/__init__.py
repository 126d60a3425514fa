"""The command ``avce``: data, results, inference, and a check of the machine."""

from avce_pl.cli.main import main

__all__ = ["main"]
