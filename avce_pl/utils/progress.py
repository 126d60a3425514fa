"""Progress of long work: a bar in a terminal, elsewhere a line every ten seconds."""

import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Self, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_SECONDS = 10

T = TypeVar("T")


class ProgressBar:
    """Shows the items done, their number and the time left on the standard error stream.

    Args:
        what: What is done, such as "Checking images".
        total: Number of items; ``None`` where it is not known.
        done: Items that an earlier start has done, which the time left is not estimated from.
        unit: What the items are, such as "frames"; "" where `what` says it.
    """

    def __init__(self, what: str, total: int | None, done: int = 0, unit: str = "") -> None:
        self._what, self._total, self._first, self._unit = what, total, done, f" {unit}" if unit else ""
        self._began = self._said = time.monotonic()
        self._console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit))
        left = (TimeRemainingColumn(), TextColumn("left"))
        self._bar = Progress(*columns, *left, console=self._console, transient=True)
        self._task = self._bar.add_task(what, total=total, completed=done)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._console.is_terminal:
            self._bar.stop()  # elsewhere it would print an empty line

    def show(self, done: int, what: str | None = None) -> None:
        """Shows how many items are done.

        Args:
            done: Their number, those of an earlier start included.
            what: A new text instead of `what`.
        """
        self._what = what or self._what
        if self._console.is_terminal:
            self._bar.update(self._task, completed=done, description=self._what)
            return
        now = time.monotonic()
        if now - self._said > _SECONDS:
            self._said = now
            self._console.print(f"{self._what}: {self._line(done, now)}", highlight=False)

    def _line(self, done: int, now: float) -> str:
        if self._total is None:
            return f"{done:,}{self._unit}"
        line = f"{done:,} of {self._total:,}{self._unit}"
        if done <= self._first:
            return line
        left = (now - self._began) / (done - self._first) * max(self._total - done, 0)
        return f"{line}, {timedelta(seconds=round(left))} left"


def track(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """The items, one by one, with a `ProgressBar`.

    Args:
        items: Each is done when the next one is requested.
        what: What is done, such as "Checking images".
        total: Number of items.
    """
    with ProgressBar(what, total) as bar:
        for done, item in enumerate(items, start=1):
            yield item
            bar.show(done)
