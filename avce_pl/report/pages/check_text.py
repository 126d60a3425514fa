"""A check-up of a data set as text."""

from itertools import groupby
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_LISTED = 10


def print_check(record: dict[str, Any], console: Console) -> None:
    """Prints a check-up.

    Args:
        record: see `avce_pl.dataset.check.check.CheckUp`.
        console: where to print.
    """
    protocol = record["protocol"]
    console.print(f"{record['dataset']}, protocol {protocol['name']}: {protocol['description']}", markup=False)
    if split_hash := protocol.get("split_hash"):
        console.print(f"split_hash {split_hash}", markup=False, highlight=False)
    if splits := record.get("splits"):
        _print_splits(record, console)
        _print_expressions(splits, console)
    for (fault, kind), group in groupby(record["findings"], key=lambda f: (f["fault"], f["kind"])):
        severity = "fault" if fault else "note"
        count = record["counts"][severity][kind]
        console.print(f"\n[bold {'red' if fault else 'yellow'}]{severity}[/] {kind} ({count:,})")
        for finding in list(group)[:_LISTED]:
            where = f"{finding['where']}: " if finding["where"] else ""
            console.print(f"  {escape(where + finding['detail'])}", soft_wrap=True)
        if count > _LISTED:
            console.print(f"  and {count - _LISTED:,} more; --html and --json list more of them")
    console.print(f"\n{verdict(record)}", style="bold green" if record["clean"] else "bold red", soft_wrap=True)


def verdict(record: dict[str, Any]) -> str:
    """One sentence: whether anything is wrong."""
    faults = record["counts"]["fault"]
    if not faults:
        return "No faults."
    return "Faults: " + ", ".join(f"{kind} ({count:,})" for kind, count in faults.items()) + "."


def _moments(summary: dict[str, Any], axis: str) -> str:
    """Mean and standard deviation of valence or arousal in a split."""
    return f"{summary[axis]['mean']:+.3f} ± {summary[axis]['sd']:.3f}" if axis in summary else "–"


SPLIT_COLUMNS = ("split", "rows", "usable", "subjects", "videos", "valence", "arousal")


def split_cells(record: dict[str, Any]) -> list[tuple[str, ...]]:
    """A line per split, numbers of the real release beside what was found."""
    lines: list[tuple[str, ...]] = [
        (
            split,
            _of(summary, "rows"),
            f"{summary['usable']:,}",
            f"{summary['subjects']:,}" if summary["subjects"] else "–",
            _of(summary, "videos"),
            _moments(summary, "valence"),
            _moments(summary, "arousal"),
        )
        for split, summary in record["splits"].items()
    ]
    if (total := record["total"])["expected"]:
        lines.append(("all", _of(total, "rows"), "", "", _of(total, "videos"), "", ""))
    return lines


def _of(summary: dict[str, Any], what: str) -> str:
    """A number beside that of the real release."""
    known = summary["expected"].get(what)
    return (f"{summary[what]:,}" if summary[what] else "–") + (f" of {known:,}" if known else "")


def _print_splits(record: dict[str, Any], console: Console) -> None:
    table = Table(*SPLIT_COLUMNS)
    for line in split_cells(record):
        table.add_row(*line)
    console.print(table)


def _print_expressions(splits: dict[str, Any], console: Console) -> None:
    names = expression_names(splits)
    if not names:
        return
    table = Table("expression", *splits)
    for name in names:
        table.add_row(name, *(expression_count(summary, name) for summary in splits.values()))
    console.print(table)


def expression_names(splits: dict[str, Any]) -> list[str]:
    """The expressions of any split, found or expected, in the order of their codes."""
    found: dict[str, None] = {}
    for summary in splits.values():
        found |= dict.fromkeys([*summary["expected"].get("expressions", {}), *summary["expressions"]])
    return list(found)


def expression_count(summary: dict[str, Any], name: str) -> str:
    """How many faces of a split show an expression, beside the number of the real release."""
    expected = summary["expected"].get("expressions", {}).get(name)
    return f"{summary['expressions'].get(name, 0):,.0f}" + (f" of {expected:,}" if expected is not None else "")
