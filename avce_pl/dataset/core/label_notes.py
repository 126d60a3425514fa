"""Labels that can be read but are probably not what was meant, for `avce data check` and the log of a training."""

from collections.abc import Iterator

import pandas as pd

from avce_pl.dataset.core.index import LABELS
from avce_pl.dataset.core.split_protocol import Finding

_FEWEST = 15
"""Rows, or videos, below which a data set says nothing about its labels."""


def label_notes(table: pd.DataFrame) -> Iterator[Finding]:
    """A note for an axis without negative labels, and for one with the same label in most rows.

    Args:
        table: The table of a `FaceIndex`.
    """
    for axis in LABELS:
        labels = table[axis].dropna()
        videos = table.loc[labels.index, "video"]
        if (videos == "").sum() + videos[videos != ""].nunique() < _FEWEST:
            continue
        if labels.min() >= 0:
            text = (
                f"No {axis} is negative: they lie within {labels.min():.2f} and {labels.max():.2f}. If the scale's "
                "neutral value is not 0, set dataset.centre and dataset.scale of the csv data set, where a label is "
                "(value - centre) / scale: centre=5 scale=4 for 1 to 9, centre=0.5 scale=0.5 for 0 to 1."
            )
            yield Finding(False, "no_negative", axis, text)
        counts = labels.value_counts()
        if counts.iloc[0] > len(labels) / 2:
            text = f"{counts.iloc[0]:,} of {len(labels):,} rows have the same {axis}, {counts.index[0]:.3f}."
            yield Finding(False, "one_value", axis, text)
