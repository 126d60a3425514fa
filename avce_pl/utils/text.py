"""Pieces of the sentences that messages are made of."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str:
    """A clause such as ``; did you mean mining?``, or the list of what there is when nothing is near."""
    known = sorted(known)
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else f". There are: {', '.join(known)}."


def enumerate_names(names: Iterable[str]) -> str:
    """The first dozen of some names, for a message."""
    names = list(names)
    if not names:
        return "nothing"
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
