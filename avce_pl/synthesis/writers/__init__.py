"""Procedural faces in the layouts of real data sets, faults included, to try readers and programs on."""

from avce_pl.synthesis.writers import csv
from avce_pl.synthesis.writers.base import FIRST_SUBJECT, Injected, Layout
from avce_pl.synthesis.writers.csv import write as write_csv

LAYOUTS: dict[str, Layout] = {
    "csv": Layout(csv.write, csv.FAULTS, "csv"),
}
"""The layouts by name."""

__all__ = ["FIRST_SUBJECT", "LAYOUTS", "Injected", "Layout", "write_csv"]
