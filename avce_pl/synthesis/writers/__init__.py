"""Procedural faces in the layouts of real data sets, faults included, to try readers and programs on."""

import shutil
from pathlib import Path
from typing import Any

from avce_pl.errors import AvceError
from avce_pl.synthesis.writers import afew_va, aff_wild, aff_wild2, affectnet, csv, raf_db
from avce_pl.synthesis.writers.base import FIRST_SUBJECT, PROCEDURAL, Injected, Layout
from avce_pl.synthesis.writers.csv import write as write_csv
from avce_pl.utils.text import nearest

LAYOUTS: dict[str, Layout] = {
    "affectnet_2017": Layout(affectnet.write_2017, affectnet.FAULTS_2017, "affectnet"),
    "affectnet_2021": Layout(affectnet.write_2021, affectnet.FAULTS_2021, "affectnet"),
    "raf_db": Layout(raf_db.write, raf_db.FAULTS, "raf_db"),
    "aff_wild": Layout(aff_wild.write, aff_wild.FAULTS, "aff_wild"),
    "aff_wild2": Layout(aff_wild2.write, aff_wild2.FAULTS, "aff_wild2"),
    "afew_va": Layout(afew_va.write, afew_va.FAULTS, "afew_va"),
    "csv": Layout(csv.write, csv.FAULTS, "csv"),
}
"""The layouts by name."""

__all__ = ["FIRST_SUBJECT", "LAYOUTS", "Injected", "Layout", "write_csv", "write_layout"]


def write_layout(layout: str, folder: Path, faults: str = "", **options: Any) -> list[Injected]:
    """Writes a data set by the layout's name; the folder appears when it is complete.

    Args:
        layout: A key of `LAYOUTS`.
        folder: Where to; an empty folder or none.
        faults: Names as in ``missing_image,headerless``; "all" for all that the layout knows.
        options: The other parameters of `Layout.write`.

    Returns:
        The faults put in.

    Raises:
        AvceError: a name is unknown (the text gives the nearest), or the folder is not empty or cannot be written.
    """
    if layout not in LAYOUTS:
        raise AvceError(f"There is no layout {layout}{nearest(layout, LAYOUTS)}")
    known = LAYOUTS[layout].faults
    kinds = list(known) if faults == "all" else [kind.strip() for kind in faults.split(",") if kind.strip()]
    for kind in kinds:
        if kind not in known:
            raise AvceError(f"{layout} knows no fault {kind}{nearest(kind, known)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise AvceError(f"{folder} is no folder or is not empty. Give a new folder.")
    partial = folder.with_name(f"{folder.name}.partial")
    try:
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(parents=True)
        injected = LAYOUTS[layout].write(partial, faults=kinds, **options)
        (partial / PROCEDURAL).write_text(
            f"Procedural faces in the layout of {layout}, made by AVCE-PL.\n", encoding="utf-8"
        )
        partial.replace(folder)
    except OSError as error:
        raise AvceError(f"{folder} cannot be written: {error.strerror or error}. Choose another folder.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return injected
