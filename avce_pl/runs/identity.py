"""What identifies a run: the settings and data that decide its result."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avce_pl.errors import AvceError
from avce_pl.runs.records import read_identity

_NOT_THE_RESULT = (
    "name",
    "output_root",
    "root",
    "force",
    "trust",
    "init_from",  # its run's digest is in the identity instead
    "freeze",  # the same, where something is frozen
    "logger",
    "callbacks.checkpoint_minutes",
    "dataset.root",
    "dataset.cache_dir",
    "dataset.num_workers",
    "dataset.cache_images",
    "dataset.task",  # dataset.classes is in the identity instead
    "trainer.name",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.log_every_n_steps",
    "trainer.num_threads",
    "trainer.profile",
)
"""Keys that say where and how a run happens, not what its result is."""


def settings_identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as ``group.key`` -> value, without what does not change the result."""
    flat: dict[str, Any] = {}

    def walk(prefix: str, value: Any) -> None:
        if prefix in _NOT_THE_RESULT:
            return
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{prefix}.{key}" if prefix else key, inner)
        else:
            flat[prefix] = value

    walk("", config)
    return flat


def run_digest(identity: Mapping[str, Any]) -> str:
    """SHA-256 over the settings and data that decide a run's result, the content of its ``identity.json``."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def refuse_other_run(folder: Path, identity: Mapping[str, Any], *, force: bool) -> None:
    """Refuses a folder that holds a run of other settings or data; with `force`, empties it instead.

    Raises:
        AvceError: names what differs.
    """
    if force:
        for entry in folder.iterdir():
            if entry.name != ".lock":
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    nothing_to_lose = not (folder / "checkpoints").exists() and not (folder / "metrics.json").exists()
    if nothing_to_lose or not (there := read_identity(folder)):
        return
    keys = [key for key in sorted({*there, *identity}) if there.get(key) != identity.get(key)]
    if keys:
        changes = ", ".join(f"{key} (there {there.get(key)}, now {identity.get(key)})" for key in keys)
        raise AvceError(
            f"{folder} holds a run with other settings: {changes}. Give this one its own name=..., or "
            "force=true to throw the old one away."
        )
