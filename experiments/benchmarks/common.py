"""What the benchmarks share: rows of what, target and measured, timed in CPU seconds of interleaved rounds."""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple


class Row(NamedTuple):
    """One line of a benchmark's result.

    Attributes:
        id: row of the targets, such as "S1".
        what: what was measured, with its unit.
        target: such as "≥ 5".
        measured: the figure.
        met: whether the target is met; None where it is only for information.
    """

    id: str
    what: str
    target: str
    measured: float
    met: bool | None


def at_least(id: str, what: str, measured: float, target: float) -> Row:  # noqa: A002 - the name in the JSON
    """A row whose figure has to be as large as the target."""
    return Row(id, what, f"≥ {target:g}", float(measured), bool(measured >= target))


def at_most(id: str, what: str, measured: float, target: float) -> Row:  # noqa: A002
    """A row whose figure must not exceed the target."""
    return Row(id, what, f"≤ {target:g}", float(measured), bool(measured <= target))


def note(id: str, what: str, measured: float) -> Row:  # noqa: A002
    """A row without a target."""
    return Row(id, what, "", float(measured), None)


def arguments(description: str, rounds: int) -> argparse.Namespace:
    """The options of every benchmark: ``--rounds`` and ``--json``."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--json", type=Path, help="file for the rows")
    return parser.parse_args()


def finish(rows: list[Row], file: Path | None) -> None:
    """Prints the rows, and writes them if there is a file for them."""
    for row in rows:
        print(f"{row.id:7s}{row.what:76s} {row.target:>12s} {row.measured:12.4g}  {verdict(row.met)}")
    if file is not None:
        file.write_text(json.dumps([row._asdict() for row in rows], indent=1, ensure_ascii=False) + "\n")


def verdict(met: bool | None) -> str:
    """The word for it."""
    return "" if met is None else "met" if met else "missed"


def interleaved(work: Mapping[str, Callable[[], object]], rounds: int, repeats: int = 1) -> dict[str, list[float]]:
    """CPU seconds of one call of each, by rounds in which each takes its turn; one turn before them warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(rounds + 1):
        for name, call in work.items():
            start = time.process_time()
            for _ in range(repeats):
                call()
            if turn:
                seconds[name].append((time.process_time() - start) / repeats)
    return seconds


def ratio(above: list[float], below: list[float]) -> float:
    """The median over the rounds of one work's time over another's."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))
