"""What a sweep says about itself: which row of how many is done, and the time left."""

import json
import logging
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from avce_pl.utils.files import atomic_write
from avce_pl.utils.processes import end_with_parent

log = logging.getLogger(__name__)

_FOLDER, _PROCESS = "AVCE_SWEEP", "AVCE_SWEEP_PROCESS"


class SweepProgress(Callback):
    """Writes one line whenever a row of a ``-m`` run has ended, whichever launcher runs the rows.

    Rows can end in other processes and on other machines, so what they share is a folder: ``sweep.json`` says how
    many rows there are and when they were started, and every row that ends leaves an empty file in ``ended/``. Which
    folder it is, processes inherit in their environment: rows may differ in ``name``, and so in their own folders.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Counts the rows before the first one starts."""
        arguments = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
        overrides = OverridesParser.create().parse_overrides([*arguments, *config.hydra.overrides.task])
        (rows,) = BasicSweeper.split_arguments(overrides, None)
        folder = Path(config.hydra.sweep.dir).absolute() / ".sweep"
        os.environ |= {_FOLDER: str(folder), _PROCESS: str(os.getpid())}
        ended = folder / "ended"
        ended.mkdir(parents=True, exist_ok=True)
        for file in ended.iterdir():
            file.unlink()
        varying = {argument for row in rows for argument in row if not all(argument in other for other in rows)}
        sweep = {"rows": len(rows), "started": time.time(), "varying": sorted(varying)}
        atomic_write(folder / "sweep.json", json.dumps(sweep))  # never half a file for the rows of another sweep
        log.info("%d rows in %s; a row that is finished already is not run again", len(rows), folder.parent)

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Notes when the row began; a process of joblib's ends with the sweep, or it would wait for rows for ever."""
        self._began = time.time()
        if (sweep := os.environ.pop(_PROCESS, "")) == str(os.getppid()):
            end_with_parent(int(sweep))

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Says how many rows are done, and how long the others will take at the pace so far."""
        if "num" not in config.hydra.job or _FOLDER not in os.environ:
            return  # a single run
        folder = Path(os.environ[_FOLDER])
        sweep = json.loads((folder / "sweep.json").read_text())
        # a row that was done before takes no time, and says nothing of the pace
        trained = time.time() - self._began > 5
        (folder / "ended" / f"{config.hydra.job.num}{'' if trained else '-before'}").touch()
        ended = [file.name for file in (folder / "ended").iterdir()]
        left = sweep["rows"] - len(ended)
        trainings = sum(not name.endswith("-before") for name in ended)
        row = " ".join(override for override in config.hydra.overrides.task if override in sweep["varying"])
        text = f"row {len(ended)} of {sweep['rows']} has ended ({row})"
        if left and trainings:
            seconds = (time.time() - sweep["started"]) / trainings * left
            text += f"; about {timedelta(seconds=round(seconds))} left"
        log.info(text)
