"""The rows of `frozen.py` and their table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd

from avce_pl.report.statistics import PairedDifference, paired_difference

Pairs = Literal["aligned", "cross", "shuffled"]
PAIRS: tuple[Pairs, ...] = ("aligned", "cross", "shuffled")
SCORES = ("ccc_valence", "ccc_arousal", "ccc_mean")
CONTRAST = (
    "views",
    "scores",
    "gradient_share",
    "corr_positive_valence",
    "corr_positive_arousal",
    "corr_negative_valence",
    "corr_negative_arousal",
)

HEADER = (
    "labelled faces",
    "L_AVCE",
    "weight",
    "CCC V",
    "CCC A",
    "CCC mean",
    "minus the trunk",
    "minus the control",
    "views",
    "y_a, y_n",
    "gradient",
    "corr y_a V, A",
    "corr y_n V, A",
)


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        labelled: how many faces a seed trains on; `None` for all training faces.
        pairs: of the AVCE formula; `None` for the trunk, which trains without it.
        weight: of the contrastive loss.
        hardness: concentration of hard mining in its reweighting form; `None` for no mining.
        similarity: the file's name in conf/similarity.
    """

    labelled: int | None
    pairs: Pairs | None
    weight: float = 0.0
    hardness: float | None = None
    similarity: str = "paper"

    @property
    def kind(self) -> str:
        """What the contrastive loss is, such as "aligned, angle"."""
        if self.pairs is None:
            return "none (trunk)"
        hard = "" if self.hardness is None else f", hard {self.hardness:g}"
        return f"{self.pairs}{hard}{', angle' if self.similarity == 'angle' else ''}"

    @property
    def name(self) -> str:
        """Unique, such as "256 faces, cross, weight 0.1"."""
        faces = "all" if self.labelled is None else self.labelled
        return f"{faces} faces, {self.kind}" + ("" if self.pairs is None else f", weight {self.weight:g}")

    @property
    def trunk(self) -> "Row":
        """The row without L_AVCE."""
        return Row(self.labelled, None)

    @property
    def control(self) -> "Row":
        """The row with the views of another face."""
        return self._replace(pairs="shuffled", hardness=None)


class Cost(NamedTuple):
    """What the stacked trainings cost.

    Attributes:
        ratio: their CPU time over that of as many single ones, median over the rounds.
        seeds: number of trainings in the stack.
        singles: number of single trainings measured.
        batches: updates of each.
        rounds: how often both were measured, in turns.
        apart: largest difference of a prediction on the test faces after these batches, in float64.
        apart_float32: the same in float32.
        apart_near: the same between two single trainings in float32 whose features differ by one part in 1e7.
    """

    ratio: float
    seeds: int
    singles: int
    batches: int
    rounds: int
    apart: float
    apart_float32: float
    apart_near: float

    @property
    def sentence(self) -> str:
        """All of it."""
        return (
            f"{self.seeds} seeds in one stack took {self.ratio:.3f} of the CPU time of {self.seeds} plain loops of the "
            f"same modules ({self.singles} loops of {self.batches} batches measured, median of {self.rounds} rounds, "
            "one thread). After these batches stacked and single trainings of a seed differ by at most "
            f"{self.apart:.0e} in a prediction on a test face in float64. In float32, which the rows have, by "
            f"{self.apart_float32:.0e}, since L_AVCE amplifies rounding: two single trainings whose features differ by "
            f"one part in 1e7 end {self.apart_near:.0e} apart."
        )


def compare_rows(table: pd.DataFrame, rows: Sequence[Row]) -> dict[tuple[Row, Row], PairedDifference]:
    """Differences of the mean test CCC, paired by seed: of each row to its trunk, and to its control.

    Their 95 % t intervals hold together (Bonferroni over all of them).

    Args:
        table: of `frozen.train_rows`.
        rows: those in the table.
    """
    means = {row: dict(table[table["row"] == row.name].set_index("seed")["ccc_mean"]) for row in rows}
    pairs = [(row, other) for row in rows for other in (row.trunk, row.control) if row.pairs and other in means]
    pairs = [(row, other) for row, other in pairs if row != other]
    return {(row, other): paired_difference(means[row], means[other], len(pairs)) for row, other in pairs}


def verdict(differences: dict[tuple[Row, Row], PairedDifference], rows: Sequence[Row]) -> str:
    """Which rows are above both their trunk and their control, and which below the trunk."""

    def clear(row: Row, other: Row, sign: int) -> bool:
        found = differences.get((row, other))
        return found is not None and (found.low > 0 if sign > 0 else found.high < 0)

    tested = [row for row in rows if row.pairs not in (None, "shuffled")]
    better = [row for row in tested if clear(row, row.trunk, 1) and clear(row, row.control, 1)]
    lines = {
        "Above trunk and control, both intervals clear of zero": better,
        "Above the trunk, but not clearly above the control": [
            row for row in tested if clear(row, row.trunk, 1) and row not in better
        ],
        "Above the control, but not clearly above the trunk": [
            row for row in tested if clear(row, row.control, 1) and row not in better
        ],
        "Controls above the trunk": [row for row in rows if row.pairs == "shuffled" and clear(row, row.trunk, 1)],
        "Clearly below the trunk": [row for row in rows if clear(row, row.trunk, -1)],
    }
    return "\n".join(f"- {what}: {'; '.join(row.name for row in found) or 'none'}." for what, found in lines.items())


def write_table(
    table: pd.DataFrame,
    rows: Sequence[Row],
    again: pd.DataFrame,
    rows_again: Sequence[Row],
    cost: Cost,
    command: str,
    test_faces: int,
    seen: int,
    folder: Path,
) -> None:
    """Writes frozen.md and frozen.csv.

    Args:
        table: of `frozen.train_rows`.
        rows: those in the table, in its order.
        again: of `frozen.train_rows`, on other seeds.
        rows_again: those in it.
        cost: what the stacked trainings cost.
        command: what made it.
        test_faces: their number.
        seen: faces that each training saw, counting repetitions.
        folder: where to.
    """
    differences = compare_rows(table, rows)
    lines = [_line(table[table["row"] == row.name], row, differences) for row in rows]
    rule = ["---", "---", *(["--:"] * (len(HEADER) - 2))]
    body = "\n".join(f"| {' | '.join(cells)} |" for cells in (HEADER, rule, *lines))
    seeds = table["seed"].nunique()
    widest = max(difference.high - difference.value for difference in differences.values())
    retest = "\n".join(
        f"- {row.name} minus {other.kind}: {_difference(difference)}"
        for (row, other), difference in compare_rows(again, rows_again).items()
    )
    text = f"""# Does L_AVCE help on frozen ImageNet features?

`{command}` made this file and frozen.csv, which has every seed. {cost.sentence}

Differences are of the mean test CCC, paired by seed, n = {seeds} seeds, with 95 % t intervals that hold together for
all {len(differences)} of them (Bonferroni):

{verdict(differences, rows)}

{body}

The row that came nearest to beating both, tested again on {again["seed"].nunique()} other seeds, intervals as above:

{retest}

- Procedural faces (dataset=synthetic, 96 px), encoder MobileNetV2 with ImageNet weights, frozen; compressor, R, H and V
  as under `preset=tuned method=avce` but for a learning rate of 4e-4 (phase 2 at weight 0.01 in every row, Adam for H
  and V); {seen} faces seen in batches of 32 a training, without augmentation and dropout; {test_faces} test faces. A
  seed has its own initial weights, order of faces and, of few, its own labelled faces, the same in every row.
- CCC: mean ± standard deviation over seeds. Trunk: without L_AVCE. Control: the same weight and similarity with the
  views of another face of the batch (`shuffled`, aligned pairs, no mining), of `cross` and `hard` rows too. hard b:
  hard mining by reweighting, concentration b. angle: similarity=angle, else paper.
- Last five columns: means over seeds on the test faces as one batch in training mode: |Sp(z) − Sm(z)|; |y_a − y_n|;
  norm of L_AVCE's gradient at z over that of the supervised loss; correlations of y_a and of y_n with the label.
- Shown: what these losses do to the scores on these test faces, to about ±{widest:.3f} (the widest interval); smaller
  effects would not be seen. Not shown: test faces of other people (they are the same for all seeds), encoders that
  learn or start from scratch, longer trainings, real faces.
- The same command gives the same numbers on the same machine. On another, rounding makes of a seed's training with
  L_AVCE another one, so that means differ as those of other seeds would.
"""
    folder.mkdir(parents=True, exist_ok=True)
    pd.concat([table, again])[["row", "seed", *SCORES, *CONTRAST]].to_csv(
        folder / "frozen.csv", index=False, float_format="%.5f"
    )
    (folder / "frozen.md").write_text(text)


def _line(seeds: pd.DataFrame, row: Row, differences: dict[tuple[Row, Row], PairedDifference]) -> list[str]:
    def difference(other: Row) -> str:
        found = differences.get((row, other))
        return "" if found is None else _difference(found)

    faces = "all" if row.labelled is None else str(row.labelled)
    weight = "" if row.pairs is None else f"{row.weight:g}"
    scores = [f"{seeds[name].mean():.3f} ± {seeds[name].std():.3f}" for name in SCORES]
    state = dict.fromkeys(CONTRAST, "")
    if row.pairs is not None:
        state = {name: f"{seeds[name].mean():.3f}" for name in CONTRAST}
        state |= {name: f"{seeds[name].mean():+.2f}" for name in CONTRAST if name.startswith("corr")}
    plain = [state[name] for name in CONTRAST[:3]]
    correlations = [
        ", ".join(filter(None, (state[first], state[second]))) for first, second in (CONTRAST[3:5], CONTRAST[5:])
    ]
    return [faces, row.kind, weight, *scores, difference(row.trunk), difference(row.control), *plain, *correlations]


def _difference(found: PairedDifference) -> str:
    return f"{found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"
