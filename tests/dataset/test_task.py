import pandas as pd
import pytest

from avce_pl.dataset.core.index import EXPRESSION_NAMES
from avce_pl.dataset.core.task import check_labels
from avce_pl.errors import AvceError
from avce_pl.synthesis import labels

TABLE = pd.DataFrame(
    {
        "path": ["a.jpg", "b.jpg", "c.jpg"],
        "valence": [0.1, float("nan"), float("nan")],
        "arousal": [0.2, float("nan"), float("nan")],
        "expression": [-1, 7, 3],
    }
)


def test_names_are_those_of_the_procedural_faces() -> None:
    assert tuple(name.lower() for name in EXPRESSION_NAMES[:7]) == labels.EXPRESSIONS


def test_rows_without_the_task_s_label_are_refused() -> None:
    check_labels(TABLE[:1], "valence_arousal", 7)
    check_labels(TABLE[1:], "expression", 8)
    with pytest.raises(AvceError, match=r"b\.jpg .* needs valence and arousal\. The same goes for 1 more"):
        check_labels(TABLE, "valence_arousal", 7)
    with pytest.raises(AvceError, match=r"b\.jpg .* expression 7, .* class from 0 \(Neutral\) to 6 \(Anger\)"):
        check_labels(TABLE[1:], "expression", 7)
    with pytest.raises(AvceError, match=r"a\.jpg .* to 7 \(Contempt\)"):
        check_labels(TABLE, "expression", 8)
