"""The entry of ``python run.py``: Hydra composes the configuration of a run, or of every row of a sweep."""

import logging
import os
import signal
import sys
from typing import Any, cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from avce_pl.config.override_errors import CONF, explain, help_text
from avce_pl.errors import AvceError, Interrupted

log = logging.getLogger(__name__)

STOPPED = "Interrupted. Finished runs are kept: run the same command again to resume."


def run_row(config: DictConfig) -> float:
    """Trains, tests and records one run, and prints its result.

    Args:
        config: the composed configuration, see ``conf/config.yaml``.

    Returns:
        The best value of ``callbacks.monitor`` on the validation split.

    Raises:
        AvceError: see `avce_pl.training.experiment.run_experiment`.
    """
    from rich.console import Console

    from avce_pl.config.instantiate import trust
    from avce_pl.config.presets import leave_out_foreign
    from avce_pl.config.settings import read_settings
    from avce_pl.report.summary import print_run
    from avce_pl.training.experiment import run_experiment  # torch is imported when there is something to train
    from avce_pl.utils.processes import is_first_process

    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise AvceError(f"The configuration cannot be resolved: {error}") from None
    settings = read_settings(cast(dict[str, Any], plain))
    trust(settings.trust)
    leave_out_foreign(settings, HydraConfig.get().overrides.task if HydraConfig.initialized() else ())
    sweep = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
    if sweep and settings.trainer.devices * settings.trainer.num_nodes > 1:
        raise AvceError(
            f"A row of a sweep runs on one device, but trainer.devices={settings.trainer.devices} and "
            f"trainer.num_nodes={settings.trainer.num_nodes}: every process would run the whole sweep. Leave -m out "
            "for one run on several devices, or run rows beside each other with hydra/launcher=joblib."
        )
    record = run_experiment(settings)
    monitor = record["monitor"]
    best = float(record["best"][monitor])
    if is_first_process():
        if sweep:
            log.info("%s: best %s %.3f, in %s", settings.label, monitor, best, settings.folder)
        else:
            print_run(settings.folder, record, Console())
    return best


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def _compose(config: DictConfig) -> float:
    try:
        return run_row(config)
    except Interrupted as interrupted:
        sys.exit(explain(interrupted, []))  # ends a sweep, which would continue after an ordinary exception


def _terminate(number: int, frame: object) -> None:
    """Handles SIGTERM where no training does: while data are read, or a launcher waits for its rows."""
    raise Interrupted(STOPPED, 128 + number)


def main() -> None:
    """Trains what ``sys.argv`` says; errors that the user can correct are printed as sentences."""
    if {"--help", "-h"} & set(sys.argv[1:]):
        sys.exit(print(help_text()))
    signal.signal(signal.SIGTERM, _terminate)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands every error over instead of printing it in its own way
    try:
        _compose()
    except KeyboardInterrupt:
        sys.exit(explain(Interrupted(STOPPED, 130), []))
    except Exception as error:
        sys.exit(explain(error, sys.argv[1:]))


if __name__ == "__main__":
    main()
