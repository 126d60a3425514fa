"""The summary of a finished run in the terminal."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from avce_pl.report.metrics import AXES, columns, names, printed_name, tested_value
from avce_pl.report.tables.contrast import contrast_state, describe_contrast
from avce_pl.report.tables.layout import MISSING
from avce_pl.runs.records import OPTIMISTIC, tested_on_validation


def print_run(folder: Path, record: dict[str, Any], console: Console) -> None:
    """Prints the test metrics of a run, where its files are, and its picture.

    Args:
        folder: the run's folder.
        record: what ``metrics.json`` holds.
        console: where to print.
    """

    def shown(key: str) -> str:
        value = tested_value(folder, record, key)
        return MISSING if value is None else f"{value:.3f}"

    on = f"on the {record['data']['test_split']} split"
    if "classes" in record["data"]:
        keys = columns([record["test"]])
        table = Table(on, *keys.values())
        table.add_row("expressions", *map(shown, keys))
    else:
        metrics = names(record["test"])
        table = Table(on, *(printed_name(name) for name in metrics))
        for axis in AXES:
            table.add_row(axis, *(shown(f"test/{name}_{axis}") for name in metrics))
    console.print(table)
    if tested_on_validation(record):
        console.print(OPTIMISTIC)
    if contrast_state(record, record) == "dead":
        console.print(f"Contrast: {describe_contrast(record)}.")
    console.print(f"files:   {folder}", soft_wrap=True)
    console.print(f"picture: {folder / 'figure.png'}", soft_wrap=True)
