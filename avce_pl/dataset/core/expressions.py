"""Expressions as other people's lists and folders write them."""

from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avce_pl.dataset.core.index import EXPRESSION_NAMES

Codes = Literal["affectnet", "raf_db", "fer2013"]
"""Whose numbers stand for expressions, see `NUMBERS`."""

NUMBERS: dict[Codes, dict[int, int]] = {
    "affectnet": {code: code for code in range(9)},
    "raf_db": {1: 3, 2: 4, 3: 5, 4: 1, 5: 2, 6: 6, 7: 0},
    "fer2013": {0: 6, 1: 5, 2: 4, 3: 1, 4: 2, 5: 3, 6: 0},
}
"""Number in a list -> AffectNet's code."""

_SYNONYMS = {
    **{name.lower(): code for code, name in enumerate(EXPRESSION_NAMES[:9])},
    **{"happiness": 1, "joy": 1, "sadness": 2, "surprised": 3, "suprise": 3, "fearful": 4, "afraid": 4},
    **{"disgusted": 5, "angry": 6, "contemptuous": 7},
}


def to_codes(cells: "pd.Series[str]", codes: Codes) -> NDArray[np.int64]:
    """AffectNet's codes of names, in any case, or of numbers; -1 for all else."""
    known = _SYNONYMS | {str(number): code for number, code in NUMBERS[codes].items()}
    return np.array(cells.str.strip().str.lower().map(known).fillna(-1), np.int64)
