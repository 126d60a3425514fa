"""The sentences under a table that a reader needs before using its numbers, derived from the runs' records."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from avce_pl.report.tables.collect import Runs, comparisons, has_few_updates, value_of
from avce_pl.report.tables.contrast import DEAD, contrast_state
from avce_pl.report.tables.layout import TableLayout
from avce_pl.report.tables.settings import departures, read_paper_settings, row_differences
from avce_pl.runs.records import OPTIMISTIC, RunRecord, tested_on_validation, updates

_PAPER_MAP = 6  # side of AlexNet's last map at 224 px


def warnings(layout: TableLayout, dataset: str, runs: Runs, *, procedural: bool) -> Iterator[str]:
    """The notes that every picture of the table shows too."""
    done = [run for found in runs.values() for run in found]
    if procedural:
        published = f" with the published ones (on {layout.dataset})" if layout.dataset else " with any published ones"
        yield f"Procedural faces (dataset={dataset}): the numbers are not comparable{published}."
    elif layout.dataset and dataset != layout.dataset:
        yield f"On {dataset}; the published numbers are on {layout.dataset}."
    if any(tested_on_validation(run.metrics) for run in done):
        yield OPTIMISTIC
    yield from _contrast(runs)
    yield from _few_updates(layout, runs)


def notes(
    layout: TableLayout,
    records: Sequence[RunRecord],
    runs: Runs,
    other: Mapping[str, Sequence[RunRecord]],
    lines: pd.DataFrame,
    seeds: Sequence[int],
) -> Iterator[str]:
    """The notes besides the warnings: comparisons, data, settings, failed and missing runs.

    Args:
        layout: How the table is shown.
        records: All runs on its data set.
        runs: Those that are in it.
        other: Those that are not, by the settings they differ in.
        lines: Its numbers, as in `ResultTable`.
        seeds: The expected seeds.
    """
    keys = list(layout.rows)

    def named(record: RunRecord) -> str:
        return "/".join([*record.row(keys), f"seed {record.seed}"])

    done = [run for found in runs.values() for run in found]
    if any("contrast" in run.metrics for run in done):
        yield "Contrast: means of |Sp(z) − Sm(z)| and |y_a − y_n| over the last epoch; at 0 the two views are equal."
    yield from _comparisons(layout, runs, lines)
    if done:
        protocols = sorted(
            {f"{r.metrics['data']['protocol']} (fingerprint {r.metrics['data']['fingerprint']})" for r in done}
        )
        trained = _listed(sorted({run.seed for run in done}))
        yield (
            f"Mean ± standard deviation over seeds {trained} (the CSV file has the means' 95 % t intervals); data: "
            f"{'; '.join(protocols)}."
        )
        without = [
            f"{title} of {named(run)}"
            for run in done
            for metric, title in layout.metrics.items()
            if value_of(run, metric) is None
        ]
        if without:
            yield f"Missing or not a finite number, so not in the mean: {', '.join(without)}."
        yield from _budget(done)
        yield from _small_maps(done)
        if departing := departures(layout, runs):
            yield f"Departs from the paper in: {'; '.join(departing)}."
        if differing := row_differences(layout, runs):
            yield f"Rows differ in: {'; '.join(differing)}."
        commits = sorted({str(record.metrics["run"]["commit"]) for record in done})
        yield f"Commit {commits[0]}." if len(commits) == 1 else f"Mixed commits: {', '.join(commits)}."
    for difference, excluded in other.items():
        yield f"Left out for other settings ({difference}): {', '.join(map(named, excluded))}."
    failed = [record for record in records if record.state == "failed"]
    if failed:
        yield "Failed, see failed.txt in the run's folder: " + ", ".join(map(named, failed)) + "."
    reported = {(record.row(keys), record.seed) for record in [*done, *failed]}
    missing = []
    for row in runs:
        of_row = [seed for seed in seeds if (row, seed) not in reported]
        if len(of_row) == len(seeds) > 1:
            missing.append(f"{'/'.join(row)} (all {len(seeds)} seeds)")
        elif of_row:
            missing.append(f"{'/'.join(row)} (seed{'s' * (len(of_row) > 1)} {_listed(of_row)})")
    if missing:
        yield f"Missing or unfinished runs: {', '.join(missing)}."


def _listed(seeds: Sequence[int]) -> str:
    """Ascending numbers, such as "0 to 15, 20": four or more in a row by their ends."""
    blocks: list[list[int]] = []
    for seed in seeds:
        if blocks and seed == blocks[-1][-1] + 1:
            blocks[-1].append(seed)
        else:
            blocks.append([seed])
    return ", ".join(f"{block[0]} to {block[-1]}" if len(block) > 3 else ", ".join(map(str, block)) for block in blocks)


def _contrast(runs: Runs) -> Iterator[str]:
    dead, unknown, known = [], [], 0
    for row, found in runs.items():
        states = [contrast_state(run.choices, run.metrics) for run in found]
        known += states.count("alive") + states.count("dead")
        if count := states.count("dead"):
            measured = count + states.count("alive")
            dead.append(f"{'/'.join(row)} in {count} of {measured} {'run' if measured == 1 else 'runs'}")
        if "not measured" in states:
            unknown.append("/".join(row))
    if dead:
        yield f"Dead contrast: {', '.join(dead)}: {DEAD}; such a run was trained without contrast."
    if unknown:
        which = f" in {', '.join(unknown)}" if known else ""
        yield f"Contrast not measured{which} (older runs): they may have been trained without contrast."


def _few_updates(layout: TableLayout, runs: Runs) -> Iterator[str]:
    few = {row: found for row, found in runs.items() if any(has_few_updates(layout, run) for run in found)}
    if few:
        counts = sorted({updates(run) or 0 for found in few.values() for run in found if has_few_updates(layout, run)})
        told = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
        paper = read_paper_settings()["optimizer.milestones"]["paper"]["avce"][-1]
        yield (
            f"Too few updates: {layout.name_rows([*few], [*runs])} trained from scratch for {told} updates, fewer "
            f"than {layout.least_updates:,} (the paper's learning rates fall until update {paper:,}). Such rows are "
            "hardly trained: neither their values nor their order tell anything about the backbones."
        )


def _comparisons(layout: TableLayout, runs: Runs, lines: pd.DataFrame) -> Iterator[str]:
    if not layout.reference:
        return
    row = next((row for row in runs if layout.is_reference(row)), None)
    if row is None or not runs[row]:
        wanted = ", ".join(f"{key}={option}" for key, option in layout.reference.items())
        yield f"No run of the reference ({wanted}) has finished: no differences to it."
        return
    pairs = lines[lines["metric"].isin([*layout.metrics])]["pairs"]
    name = layout.name_rows([row], list(runs))
    text = f"vs. reference: mean difference to {name}, paired by seed."
    if pairs.max() >= 2:
        text += (
            " In brackets its 95 % t interval, corrected for the number of comparisons (Bonferroni: "
            f"{comparisons(layout, runs)} intervals, rows × metrics)"
        )
        marked = lines["excludes_zero"].any()
        text += "; * marks an interval without zero." if marked else "; none of them excludes zero."
    if ((pairs == 1) & lines.loc[pairs.index, "reference_difference"].notna()).any():
        text += " One pair has no interval: its difference may be chance."
    yield text
    if any(layout.is_control(row) for row in runs):
        control = layout.name_rows([row for row in runs if layout.is_control(row)], list(runs))
        yield (
            f"{control} is the control: the same loss on views of another face. An effect that it has too is "
            "regularisation, not contrast."
        )


def _budget(done: Sequence[RunRecord]) -> Iterator[str]:
    """The training budget, as far as all runs share it."""
    shown = {
        "dataset.image_size": "{} px",
        "dataset.batch_size": "batches of {}",
        "trainer.max_epochs": "{} epochs",
        "trainer.limit_train_batches": "{} batches each",
    }
    texts = []
    for key, text in shown.items():
        values: set[Any] = {record.settings.get(key) for record in done}
        if len(values) == 1 and (value := values.pop()) is not None and not isinstance(value, float):
            texts.append(text.format(value).removesuffix("s" if value == 1 else ""))
    if texts:
        yield f"Budget: {', '.join(texts)}."


def _small_maps(done: Sequence[RunRecord]) -> Iterator[str]:
    """Runs whose last map of AlexNet is smaller than the paper's, and so copied into the compressor's 6×6 inputs."""
    found: dict[str, None] = {}
    for run in done:
        height, width = run.metrics.get("encoder_map") or (_PAPER_MAP, _PAPER_MAP)
        if run.choices["backbone"] in ("al", "al_full") and min(height, width) < _PAPER_MAP:
            side = run.settings.get("dataset.image_size")
            text = f"AlexNet's last map is {height}×{width}" + (f" at {side} px" if side else "")
            copies = _PAPER_MAP**2 // (height * width) if _PAPER_MAP % height == 0 == _PAPER_MAP % width else 0
            copied = f"copied {copies} times" if copies else "stretched to that size"
            found[f"{text} (paper: {_PAPER_MAP}×{_PAPER_MAP} at 224 px), {copied}."] = None
    yield from found
