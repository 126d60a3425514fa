"""What identifies a run: the settings and data that decide its result."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

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


_IMPLIED = {
    "method.supervised": "released",
    "dataset.centre": 0.0,
    "dataset.codes": "affectnet",
    "dataset.on_bad_label": "error",
}
"""Settings that version 0.1 did not have, with the value that it computed with: they do not change an identity."""


class Retired(NamedTuple):
    """A setting that a class had in an older version.

    Attributes:
        neutral: the value under which the class computes the same today.
        moved_to: path of the class that has the setting today; ``None`` if there is none.
        in_digest: whether runs of version 0.1 have it, so that it stays in their digests.
    """

    neutral: Any
    moved_to: str | None = None
    in_digest: bool = True


_RELEASED = "avce_pl.method.released.ReleasedAVCE"
RETIRED: Mapping[str, Mapping[str, Retired]] = {
    "avce_pl.method.avce.AVCE": {
        "standardise": Retired(False, in_digest=False),
        "head_weights": Retired("default", _RELEASED),
        "stale_moments": Retired(False, _RELEASED),
        "evaluation_latch": Retired(False, _RELEASED),
        "dropout_at_test": Retired(False, _RELEASED),
    }
}
"""Path of a class -> its retired settings by name."""


def settings_identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as ``group.key`` -> value, without what does not change the result.

    Retired settings have their neutral value: the digest of a run does not change with the version.
    """
    flat: dict[str, Any] = {}

    def walk(prefix: str, value: Any) -> None:
        if prefix in _NOT_THE_RESULT:
            return
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{prefix}.{key}" if prefix else key, inner)
        elif prefix not in _IMPLIED or value != _IMPLIED[prefix]:
            flat[prefix] = value

    walk("", config)
    return {key: entry.neutral for key, entry in _retired(flat).items() if entry.in_digest} | flat


def _retired(identity: Mapping[str, Any]) -> dict[str, Retired]:
    """The retired settings of an identity's classes, by ``group.key``."""
    targets = {key.removesuffix("_target_"): target for key, target in identity.items() if key.endswith("._target_")}
    return {
        f"{prefix}{key}": entry for prefix, target in targets.items() for key, entry in RETIRED.get(target, {}).items()
    }


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
    neutral = {key: entry.neutral for key, entry in _retired(there).items()}
    there, now = {**neutral, **there}, {**neutral, **identity}
    keys = [key for key in sorted({*there, *now}) if there.get(key) != now.get(key)]
    if keys:
        changes = ", ".join(f"{key} (there {there.get(key)}, now {now.get(key)})" for key in keys)
        raise AvceError(
            f"{folder} holds a run with other settings: {changes}. Give this one its own name=..., or "
            "force=true to throw the old one away."
        )
