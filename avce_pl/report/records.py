"""What run folders say about their runs."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from avce_pl.errors import AvceError

CHOICES = ("dataset", "method", "backbone", "crl_formula", "mining")
"""The groups that name a run's folder, in the order of its path."""

PATTERN = "*/" * len(CHOICES) + "seed_*"
"""Run folders below ``<output_root>/<name>``."""

SYNTHETIC = ("synthetic", "synthetic_video", "synthetic_expression")
"""Data sets of procedural faces; numbers on them are not comparable with published ones."""

State = Literal["done", "failed", "unfinished"]


@dataclass(frozen=True)
class Record:
    """One run folder, as it is at this moment.

    Attributes:
        folder: Where it is.
        choices: The options that name it, by group (`CHOICES`).
        seed: Its seed.
        state: "failed" when its last start ended in an error, also where older results lie in it.
        settings: ``group.key`` -> value of all that decides the result; empty before it has started to train.
        metrics: What ``metrics.json`` holds; empty unless it is done.
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


def read_records(folder: Path) -> list[Record]:
    """All runs below ``<output_root>/<name>``, ordered by path.

    Raises:
        AvceError: a file in a run folder is not what the suite writes.
    """
    return list(_records(folder))


def _records(root: Path) -> Iterator[Record]:
    for folder in sorted(root.glob(PATTERN)):
        parts = folder.relative_to(root).parts
        done = (folder / "metrics.json").exists()
        state: State = "failed" if (folder / "failed.txt").exists() else "done" if done else "unfinished"
        yield Record(
            folder=folder,
            choices=dict(zip(CHOICES, parts, strict=False)),
            seed=int(folder.name.removeprefix("seed_")),
            state=state,
            settings=read_json(folder / "identity.json"),
            metrics=read_json(folder / "metrics.json") if state == "done" else {},
        )


def read_json(file: Path) -> dict[str, Any]:
    """What a file of a run's folder holds; empty where there is none.

    Raises:
        AvceError: it is damaged.
    """
    try:
        content: dict[str, Any] = json.loads(file.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError as error:
        raise AvceError(f"{file} is damaged ({error}). Delete the run's folder and run it again.") from None
    return content
