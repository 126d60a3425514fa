"""How far long work has come: a bar in a terminal, elsewhere a line now and then."""

import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TypeVar

from rich import progress
from rich.console import Console

_SECONDS = 10

T = TypeVar("T")


def track(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """The items, one by one, with the time left on the standard error stream.

    Args:
        items: What the work is done on; the work on one is over when the next is requested.
        what: What is done, such as "Checking images".
        total: How many there are.
    """
    console = Console(stderr=True)
    if console.is_terminal:
        yield from progress.track(items, what, total, console=console, transient=True)
        return
    began = said = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - said > _SECONDS:
            said = now
            left = timedelta(seconds=round((now - began) / done * (total - done)))
            console.print(f"{what}: {done} of {total}, {left} left", highlight=False)
