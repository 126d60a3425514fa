"""``MODEL_CARD.md`` of a run: its training, data and scores, and what it must not be used for."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from avce_pl.errors import AvceError
from avce_pl.report.metrics import AXES, names, printed_name
from avce_pl.report.output import write_output
from avce_pl.report.statistics import RESAMPLES, Interval, intervals, resampling_unit
from avce_pl.report.tables.contrast import contrast_state, describe_contrast
from avce_pl.runs.predictions import read_predictions
from avce_pl.runs.records import OPTIMISTIC, is_procedural, read_config, read_metrics, tested_on_validation
from avce_pl.utils.resources import TRAIN

_TERMS = (
    "provided by its owners on request under a licence agreement, usually for non-commercial research only; the faces "
    "are of real people. Weights trained on it inherit these limits: read your agreement before you share them."
)
_DATA = {
    "synthetic": "procedural faces of this project (MIT); they show no real person.",
    "synthetic_video": "procedural faces of this project (MIT); they show no real person.",
    "affectnet": f"AffectNet, {_TERMS}",
    "aff_wild": f"Aff-Wild, {_TERMS}",
    "aff_wild2": f"Aff-Wild2, {_TERMS}",
    "afew_va": f"AFEW-VA, {_TERMS}",
    "raf_db": f"RAF-DB, {_TERMS}",
    "csv": "your own images; before you share the weights, check their licence and the consent of the people shown.",
    "official": f"unknown to this program; the authors name AffectNet, Aff-Wild, Aff-Wild2 and AFEW-VA, each {_TERMS}",
}


def write_model_card(folder: Path) -> Path:
    """Writes ``MODEL_CARD.md`` into the folder of a finished run, or of imported weights.

    Raises:
        AvceError: the folder holds no finished run, is damaged, or cannot be written.
    """
    return write_output(folder / "MODEL_CARD.md", _card(folder))


def _card(folder: Path) -> str:
    if not (folder / "config.yaml").is_file():
        raise AvceError(f"{folder} holds no run. Give the folder that `{TRAIN}` printed at its end.")
    config = read_config(folder)
    if config["dataset"]["name"] == "official":
        return _imported(config)
    record = read_metrics(folder)
    if not record:
        raise AvceError(f"{folder} has not finished its training. Run its command again to finish it.")
    if "classes" in record["data"]:
        raise AvceError(f"{folder} predicts expressions; model cards are written for valence and arousal.")
    return _trained(config, record, read_predictions(folder))


def _trained(config: Mapping[str, Any], record: Mapping[str, Any], table: pd.DataFrame) -> str:
    data, run, size = record["data"], record["run"], config["dataset"]["image_size"]
    unit = resampling_unit(table)
    values = intervals(table, unit)
    metrics = names(record["test"])
    rows = "\n".join(
        f"| {axis} | " + " | ".join(_value(record, values, f"{name}_{axis}") for name in metrics) + " |"
        for axis in AXES
    )
    by = f"whole {unit}s ({table[unit].nunique():,})" if unit else "single images (the people on them are unknown)"
    limits = "".join(f"\n{text}\n" for text in _limits(record))
    split = "validation" if tested_on_validation(record) else data["test_split"]
    start = f"\n- Started from: `{config['init_from']}`, frozen: {config['freeze']}" if config.get("init_from") else ""
    known = data.get("margin")
    margin = f"enlarged by {known:.0%}" if known is not None else "the record does not say how much larger than the box"
    shares = ", ".join(f"{split} {count:,}" for split, count in data["rows"].items())
    return f"""# Model card: {record["name"]}

Valence (unpleasant −1 to pleasant 1) and arousal (calm −1 to excited 1) of a cropped face.

- Method: {record["method"]}, contrastive formula: {record["crl_formula"]}, negative mining: {record["mining"]}
  (names of AVCE-PL, after Kim & Song, ECCV 2022)
- Contrast in the last epoch: {describe_contrast(record)}
- Backbone: {record["backbone"]}, {record["parameters"]["inference"]:,} parameters at inference
- Input: {size} × {size} px, RGB; the square around a face's box, {margin}{start}
- Run: seed {record["seed"]}, digest `{record["digest"][:16]}`, commit {run["commit"]}, {run["finished"]}

## Data

- Data set: `{record["dataset"]}`: {_DATA.get(record["dataset"], "see its owners' terms.")}
- Protocol: {data["protocol"]}; images: {shares}
- Left out: {_counts(data["dropped"])}; not readable: {_counts(data["bad_images"])}
- Fingerprint: `{data["fingerprint"]}`

## Scores

On {len(table):,} images of the {split} split, best epoch by {record["monitor"]}. In brackets 95% bootstrap
intervals over {by}, {RESAMPLES:,} resamples; they show how the number would vary with other
{unit or "image"}s of the same kind, not with another training or another kind of picture.

| {split} images | {" | ".join(map(printed_name, metrics))} |
|---|{"---|" * len(metrics)}
{rows}
{limits}
{_USE}"""


def _limits(record: Mapping[str, Any]) -> Iterator[str]:
    """Limits of what the numbers mean."""
    if is_procedural(record["dataset"], record):
        yield "Procedural faces: these numbers are not comparable with published ones."
    if tested_on_validation(record):
        yield OPTIMISTIC
    if contrast_state(record, record) == "dead":
        yield "Trained without contrast, despite the formula above: its two views were equal."


def _imported(config: Mapping[str, Any]) -> str:
    size = config["dataset"]["image_size"]
    return f"""# Model card: the authors' published weights

Valence (unpleasant −1 to pleasant 1) and arousal (calm −1 to excited 1) of a cropped face.

- Method: AVCE (Kim & Song, ECCV 2022), weights of the authors' release, imported by `avce import-official`
- Backbone: {config["backbone"]["name"]}
- Input: {size} × {size} px, RGB
- {config["note"]}

## Data

{_DATA["official"][0].upper()}{_DATA["official"][1:]} The release carries no licence of its own.

## Scores

Not measured here. Test it on labelled faces of your own before you use it.

{_USE}"""


def _value(record: Mapping[str, Any], found: Mapping[str, Interval], name: str) -> str:
    """A metric with its interval, or as it was logged where reports cannot resample it."""
    if name not in found:
        return f"{record['test'][f'test/{name}']:.3f}"
    value, low, high = found[name]
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in counts.items()) or "none"


_USE = """## Intended use

Research on facial expression: comparing methods, describing how shown expressions change over time within one person's
recording, always with a human who checks the pictures.

## Out of scope

- Inferring what a person feels, thinks or intends. The numbers describe what annotators see in a face.
- Detecting lies, diagnosing illness, or deciding about people: hiring, schooling, policing, insurance, border control.
  In the European Union, inferring emotions at work and in education is prohibited with few exceptions (AI Act,
  Article 5).
- Watching people who have not agreed to it.

## Limits

- It has only seen faces like those it was trained on. Where age, skin, culture, glasses, hair, light, pose or camera
  are rare among them, it is less accurate, and its output does not show that. Differences between groups of people were
  not measured.
- It always gives an answer, also for what is not a face. The detector's confidence says nothing about valence and
  arousal.
- Crops must be made as in training: `avce predict` and `avce_pl.load` do so.
- Annotators disagree with each other; a difference smaller than the RMSE means little.
"""
