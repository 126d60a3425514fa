"""What lies in the files of a W&B run."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def inspect(file: Path, *options: str) -> str:
    arguments = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", *options, str(file)]
    return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout


def read_runs(tracked: dict[str, Path]) -> dict[str, dict[str, Any]]:
    """Name of the run -> its summary by W&B, its records by kind, its file and its folder."""
    found = {}
    for file in sorted((tracked["al-avce-hard-s0"].parents[6] / "wandb").glob("offline-run-*/*.wandb")):
        records: dict[str, list[Any]] = {}
        for line in inspect(file).splitlines():
            record = json.loads(line)
            records.setdefault(record["type"], []).append(record[record["type"]])
        summary = json.loads(inspect(file, "--summary"))
        found[summary["name"]] = summary | {"records": records, "file": file, "folder": tracked[summary["name"]]}
    return found
