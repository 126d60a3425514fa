"""The task that the labels of a data set define."""

from typing import Literal

import numpy as np
import pandas as pd

from avce_pl.dataset.core.index import EXPRESSION_NAMES
from avce_pl.errors import AvceError

Task = Literal["valence_arousal", "expression"]


def check_labels(table: pd.DataFrame, task: Task, classes: int) -> None:
    """Refuses an index with rows that have no label for the task.

    Raises:
        AvceError: there is such a row; the text names the first.
    """
    if task == "expression":
        right = table["expression"].between(0, classes - 1)
        need = f"a class from 0 ({EXPRESSION_NAMES[0]}) to {classes - 1} ({EXPRESSION_NAMES[classes - 1]})"
    else:
        right = table["valence"].notna() & table["arousal"].notna()
        need = "valence and arousal"
    wrong = np.flatnonzero(~right)
    if len(wrong):
        row = table.iloc[wrong[0]]
        raise AvceError(
            f"{row['path']} has the labels valence {row['valence']}, arousal {row['arousal']}, expression "
            f"{row['expression']}, but every image needs {need}. The same goes for {len(wrong) - 1} more of the data "
            "set's images; leave them out, or choose a protocol without them."
        )
