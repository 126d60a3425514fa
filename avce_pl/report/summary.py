"""The few lines that a finished run prints."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from avce_pl.report.tables.contrast import contrast_state, describe_contrast
from avce_pl.runs.records import OPTIMISTIC, tested_on_validation

METRICS = ("ccc", "pcc", "rmse", "sagr")


def print_run(folder: Path, record: dict[str, Any], console: Console) -> None:
    """Prints the test metrics of a run, where its files are, and its picture.

    Args:
        folder: the run's folder.
        record: what ``metrics.json`` holds.
        console: where to print.
    """
    split = record["data"]["test_split"]
    if "classes" in record["data"]:
        table = Table(f"on the {split} split", "all faces", "mean over classes")
        accuracies = (f"{record['test'][f'test/{name}']:.3f}" for name in ("accuracy", "accuracy_macro"))
        table.add_row("accuracy", *accuracies)
        table.add_row("F1", "", f"{record['test']['test/f1_macro']:.3f}")
    else:
        table = Table(f"on the {split} split", *(name.upper() for name in METRICS))
        for axis in ("valence", "arousal"):
            table.add_row(axis, *(f"{record['test'][f'test/{name}_{axis}']:.3f}" for name in METRICS))
    console.print(table)
    if tested_on_validation(record):
        console.print(OPTIMISTIC)
    if contrast_state(record, record) == "dead":
        console.print(f"Contrast: {describe_contrast(record)}.")
    console.print(f"files:   {folder}", soft_wrap=True)
    console.print(f"picture: {folder / 'figure.png'}", soft_wrap=True)
