"""Procedural faces in the layouts of real data sets, faults included, to try readers and programs on."""

from avce_pl.synthesis.writers import afew_va, aff_wild, aff_wild2, csv
from avce_pl.synthesis.writers.base import FIRST_SUBJECT, Injected, Layout
from avce_pl.synthesis.writers.csv import write as write_csv

LAYOUTS: dict[str, Layout] = {
    "aff_wild": Layout(aff_wild.write, aff_wild.FAULTS, "aff_wild"),
    "aff_wild2": Layout(aff_wild2.write, aff_wild2.FAULTS, "aff_wild2"),
    "afew_va": Layout(afew_va.write, afew_va.FAULTS, "afew_va"),
    "csv": Layout(csv.write, csv.FAULTS, "csv"),
}
"""The layouts by name."""

__all__ = ["FIRST_SUBJECT", "LAYOUTS", "Injected", "Layout", "write_csv"]
