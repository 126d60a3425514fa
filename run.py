"""Trains and evaluates one configuration, or sweeps over many with ``-m``; ``python run.py --help`` lists them.

``run.py`` -> ``avce_pl.experiment.run_experiment`` -> ``build_module`` -> ``method/avce.py: training_step`` ->
``crl_formula/avce.py`` -> ``functional/contrastive.py``.
"""

import os
import signal
import sys

import hydra
from omegaconf import DictConfig

from avce_pl.command_line import explain, help_text
from avce_pl.errors import Interrupted

STOPPED = "Interrupted. What is finished is kept: the same command goes on from there."


def terminated(number: int, frame: object) -> None:
    """Handles SIGTERM where no training does: while data are read, or a launcher waits for its rows."""
    raise Interrupted(STOPPED, 128 + number)


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> float:
    """Runs one row; returns its best monitored value."""
    from avce_pl.experiment import run_experiment  # torch is imported when there is something to train

    try:
        return run_experiment(config)
    except Interrupted as interrupted:
        sys.exit(explain(interrupted, []))  # ends a sweep, which goes on after an ordinary exception


if __name__ == "__main__":
    if {"--help", "-h"} & set(sys.argv[1:]):
        sys.exit(print(help_text()))
    signal.signal(signal.SIGTERM, terminated)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands every error over instead of printing it in its own way
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(explain(Interrupted(STOPPED, 130), []))
    except Exception as error:
        sys.exit(explain(error, sys.argv[1:]))
