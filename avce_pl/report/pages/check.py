"""A check-up of a data set as one HTML page that needs nothing else: no network, no script, no other file."""

from collections.abc import Sequence
from html import escape
from itertools import groupby
from math import isnan
from typing import Any

from avce_pl.report.figures.plane import draw_plane
from avce_pl.report.pages.check_text import SPLIT_COLUMNS, expression_names, split_cells, verdict
from avce_pl.report.pages.html import frame, image, page, table

Sample = tuple[str, float, float, str, str, bytes]
"""Split, valence, arousal, expression, path and JPEG of a face."""


def check_page(record: dict[str, Any], samples: Sequence[Sample], regions: int) -> str:
    """The page.

    Args:
        record: see `avce_pl.dataset.check.check.CheckUp`.
        samples: faces, at most one per split and region; or some per split and expression, with NaN for the others.
        regions: regions along each axis of the plane.
    """
    protocol, splits = record["protocol"], record.get("splits", {})
    parts = [
        f"<h1>{escape(record['dataset'])}</h1>",
        f"<p class=faint>Protocol {escape(protocol['name'])}: {escape(protocol['description'])}</p>",
        f"<p class='verdict {'clean' if record['clean'] else 'fault'}'>{escape(verdict(record))}</p>",
    ]
    if splits:
        parts += ["<h2>Splits</h2>", table(SPLIT_COLUMNS, split_cells(record))]
        parts.append(f"<p class=faint>split_hash {escape(protocol['split_hash'] or '–')}</p>")
    parts += _findings(record)
    if labelled := {split: summary for split, summary in splits.items() if "valence" in summary}:
        figures = [_plane(summary["plane"], split) for split, summary in labelled.items()]
        parts += ["<h2>Labels on the plane</h2>", f"<div class=row>{''.join(figures)}</div>"]
    if names := expression_names(splits):
        parts += ["<h2>Expressions</h2>", _expression_table(splits, names)]
    if training := record.get("training"):
        parts.append("<h2>What an epoch is drawn from</h2>")
        figures = [_plane(drawn["plane"], drawn["name"]) for drawn in training if "plane" in drawn]
        parts += [f"<div class=row>{''.join(figures)}</div>"] if figures else []
        drawn = {line["name"]: {**line, "expected": {}} for line in training if "expressions" in line}
        parts += [_expression_table(drawn, expression_names(drawn))] if drawn else []
    if samples:
        parts += ["<h2>Faces</h2>", *_faces(samples, regions)]
    return page(f"Check of {record['dataset']}", parts)


def _findings(record: dict[str, Any]) -> list[str]:
    parts = []
    for (fault, kind), group in groupby(record["findings"], key=lambda f: (f["fault"], f["kind"])):
        severity = "fault" if fault else "note"
        found, count = list(group), record["counts"][severity][kind]
        items = [f"<li><b>{escape(f['where'])}</b> {escape(f['detail'])}</li>" for f in found]
        if count > len(found):
            items.append(f"<li>and {count - len(found):,} more</li>")
        label = f"<span class={severity}>{severity}</span>"
        opened = " open" if count <= 10 else ""
        parts.append(
            f"<details{opened}><summary>{label} {escape(kind)} ({count:,})</summary><ul>{''.join(items)}</ul></details>"
        )
    return ["<h2>Findings</h2>", *parts] if parts else []


def _plane(histogram: list[list[float]], title: str) -> str:
    total = sum(map(sum, histogram))
    caption = f"<b>{escape(title)}</b>, {total:,.0f} faces; the fullest bin holds {max(map(max, histogram)):,.0f}"
    alt = f"Histogram of valence and arousal: {title}"
    return f"<figure>{image('png', draw_plane(histogram), alt)}<figcaption>{caption}</figcaption></figure>"


def _expression_table(splits: dict[str, Any], names: list[str]) -> str:
    head = "".join(f"<th>{escape(split)}</th><th></th>" for split in splits)
    lines = []
    for name in names:
        cells = [f"<td>{escape(name)}</td>"]
        for summary in splits.values():
            count = summary["expressions"].get(name, 0)
            expected = summary["expected"].get("expressions", {}).get(name)
            text = f"{count:,.0f}" if expected is None else f"{count:,} of {expected:,}"
            width = 100 * count / max([*summary["expressions"].values(), 1])
            cells.append(f"<td>{text}</td><td class=bar><i style='width:{width:.1f}%'></i></td>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return frame(f"<tr><th>expression</th>{head}</tr>{''.join(lines)}")


def _faces(samples: Sequence[Sample], regions: int) -> list[str]:
    """Grids of faces, one per split."""
    on_plane = not isnan(samples[0][1])
    text = "One from each region of the plane: valence to the right, arousal upwards."
    grids = []
    for split, group in groupby(samples, key=lambda sample: sample[0]):
        faces = list(group)
        grid = _plane_grid(faces, regions) if on_plane else _expression_grid(faces)
        grids.append(f"<figure>{grid}<figcaption><b>{escape(split)}</b></figcaption></figure>")
    return [
        f"<p class=faint>{text if on_plane else 'Some of each expression.'}</p>",
        f"<div class='row wide'>{''.join(grids)}</div>",
    ]


def _plane_grid(faces: list[Sample], regions: int) -> str:
    cells = ["<span></span>"] * regions**2
    for face in faces:
        column, row = (min(int((value + 1) * regions / 2), regions - 1) for value in face[1:3])
        cells[(regions - 1 - row) * regions + column] = _face(face)
    return f"<div class=faces>{''.join(cells)}</div>"


def _expression_grid(faces: list[Sample]) -> str:
    lines = []
    for name, part in groupby(faces, key=lambda face: face[3]):
        lines.append(f"<p class=faint>{escape(name)}</p><div class=faces>{''.join(map(_face, part))}</div>")
    return "".join(lines)


def _face(face: Sample) -> str:
    _, valence, arousal, expression, path, jpeg = face
    text = expression if isnan(valence) else f"valence {valence:+.2f}, arousal {arousal:+.2f}"
    return image("jpeg", jpeg, f"{text}: {path}")
