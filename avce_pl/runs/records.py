"""The records that run folders hold."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from avce_pl.errors import AvceError

CHOICES = ("dataset", "method", "backbone", "crl_formula", "mining")
"""The groups that name a run's folder, in the order of its path."""

PATTERN = "*/" * len(CHOICES) + "seed_*"
"""Run folders below ``<output_root>/<name>``."""

SYNTHETIC = ("synthetic", "synthetic_video", "synthetic_expression")
"""Data sets that always consist of procedural faces; see `is_procedural`."""

OPTIMISTIC = "Tested on the validation images, which also chose the best epoch: the scores are optimistic."

State = Literal["done", "failed", "unfinished"]


@dataclass(frozen=True)
class RunRecord:
    """A run folder in its current state.

    Attributes:
        folder: Where it is.
        choices: The options that name it, by group (`CHOICES`).
        seed: Its seed.
        state: "failed" when its last start ended in an error, even if it holds older results.
        settings: ``group.key`` -> value of all that decides the result; empty before training starts.
        metrics: The content of ``metrics.json``; empty unless it is done.
    """

    folder: Path
    choices: Mapping[str, str]
    seed: int
    state: State
    settings: Mapping[str, Any]
    metrics: Mapping[str, Any]

    def row(self, keys: Iterable[str]) -> tuple[str, ...]:
        """The row of a table whose rows are named by these groups."""
        return tuple(self.choices[key] for key in keys)


def short_name(choices: Mapping[str, str], seed: int) -> str:
    """A run's short name, such as ``al-avce-hard-s0``, ``al-caf-none-s0`` or ``al-mine-infonce-none-s0``.

    It leaves out ``method=avce``, which is named by its contrastive formula, and the formula of methods without one.

    Args:
        choices: The options that name it, by group (`CHOICES`).
        seed: Its seed.
    """
    method, formula = choices["method"], choices["crl_formula"]
    named = [formula] if method == "avce" else [method] if formula == "none" else [method, formula]
    return "-".join([choices["backbone"], *named, choices["mining"], f"s{seed}"])


def read_records(folder: Path) -> list[RunRecord]:
    """All runs below ``<output_root>/<name>``, ordered by path.

    Raises:
        AvceError: a file in a run folder is damaged.
    """
    return list(_records(folder))


def _records(root: Path) -> Iterator[RunRecord]:
    for folder in sorted(root.glob(PATTERN)):
        parts, number = folder.relative_to(root).parts, folder.name.removeprefix("seed_")
        if not number.isdecimal():
            raise AvceError(f"{folder} is not a run's folder: no number follows seed_. Move it away or delete it.")
        done = (folder / "metrics.json").exists()
        state: State = "failed" if (folder / "failed.txt").exists() else "done" if done else "unfinished"
        yield RunRecord(
            folder=folder,
            choices=dict(zip(CHOICES, parts, strict=False)),
            seed=int(number),
            state=state,
            settings=read_identity(folder),
            metrics=read_metrics(folder) if state == "done" else {},
        )


def read_metrics(folder: Path) -> dict[str, Any]:
    """Reads a run's ``metrics.json``; empty unless the run has finished.

    Raises:
        AvceError: it is damaged.
    """
    return _read_json(folder / "metrics.json", ("data", "parameters", "run", "test"), _check_measured)


def read_identity(folder: Path) -> dict[str, Any]:
    """Reads a run's ``identity.json``; empty unless the run has started to train.

    Raises:
        AvceError: it is damaged.
    """
    return _read_json(folder / "identity.json")


def read_config(folder: Path) -> dict[str, Any]:
    """Reads a run's ``config.yaml``.

    Raises:
        AvceError: it is damaged, or not the configuration of a run.
    """
    file = folder / "config.yaml"
    try:
        config: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
        config["dataset"]["name"], int(config["dataset"]["image_size"])
        config["backbone"]["name"], config["backbone"]["_target_"], config["method"]["name"]
    except (OSError, yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise AvceError(
            f"{file} is not the configuration of a run ({type(error).__name__}: {error}). Restore it, or train again."
        ) from None
    return config


def is_procedural(dataset: str, metrics: Mapping[str, Any]) -> bool:
    """Whether a run's faces are procedural, so that its numbers are not comparable with published ones.

    Args:
        dataset: The name of its data set, which may be procedural faces in the layout of a real one.
        metrics: What its ``metrics.json`` holds.
    """
    return dataset in SYNTHETIC or bool(metrics.get("data", {}).get("procedural"))


def tested_on_validation(metrics: Mapping[str, Any]) -> bool:
    """Whether a finished run was tested on the images that chose its best epoch; not for a record without a split."""
    return bool(metrics.get("data", {}).get("test_split") == "val")


def updates(record: RunRecord) -> int | None:
    """The batches that a finished run trained on, ``None`` where neither its record nor its settings tell."""
    if "updates" in record.metrics:
        return int(record.metrics["updates"])
    epochs, limit = (record.settings.get(f"trainer.{key}") for key in ("max_epochs", "limit_train_batches"))
    return epochs * limit if isinstance(epochs, int) and isinstance(limit, int) else None


def _check_measured(metrics: Mapping[str, Any]) -> None:
    """Checks the parts that records of older versions lack."""
    match metrics.get("contrast", {"alive": True}):
        case {"alive": bool()}:
            pass
        case _:
            raise ValueError("contrast without alive")
    match metrics.get("encoder_map", [1, 1]):
        case [int(height), int(width)] if height > 0 and width > 0:
            pass
        case _:
            raise ValueError("encoder_map is not a height and a width")
    if not isinstance(metrics.get("updates", 0), int):
        raise ValueError("updates is not a number of batches")


def _read_json(
    file: Path, sections: Iterable[str] = (), check: Callable[[dict[str, Any]], None] = lambda _: None
) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("not an object")
        if missing := [name for name in sections if not isinstance(content.get(name), dict)]:
            raise ValueError(f"without {', '.join(missing)}")
        check(content)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError as error:
        raise AvceError(f"{file} is damaged ({error}). Delete the run's folder and run it again.") from None
    return content
