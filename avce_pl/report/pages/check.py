"""A check-up of a data set as an HTML page without a script."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from math import isnan
from typing import Any

from avce_pl.report.figures.plane import draw_plane
from avce_pl.report.pages.check_text import SPLIT_COLUMNS, expression_count, expression_names, split_cells, verdict
from avce_pl.report.pages.html import render_page

Sample = tuple[str, float, float, str, str, bytes]
"""Split, valence, arousal, expression, path and JPEG of a face."""


def check_page(record: dict[str, Any], samples: Sequence[Sample], regions: int) -> str:
    """The page.

    Args:
        record: see `avce_pl.dataset.check.check.CheckUp`.
        samples: faces, at most one per split and region; or some per split and expression, with NaN for the others.
        regions: regions along each axis of the plane.
    """
    splits, drawn = record.get("splits", {}), record.get("training", ())
    labelled = {split: summary["plane"] for split, summary in splits.items() if "valence" in summary}
    drawn_planes = {line["name"]: line["plane"] for line in drawn if "plane" in line}
    drawn_expressions = {line["name"]: {**line, "expected": {}} for line in drawn if "expressions" in line}
    return render_page(
        "check.html.j2",
        f"Check of {record['dataset']}",
        record=record,
        verdict=verdict(record),
        splits={"columns": SPLIT_COLUMNS, "rows": split_cells(record)} if splits else None,
        findings=_findings(record),
        labels=_planes(labelled),
        expressions=_expressions(splits),
        training={"planes": _planes(drawn_planes), "expressions": _expressions(drawn_expressions)} if drawn else None,
        faces=_faces(samples, regions) if samples else None,
    )


def _findings(record: dict[str, Any]) -> list[dict[str, Any]]:
    groups = []
    for (fault, kind), group in groupby(record["findings"], key=lambda finding: (finding["fault"], finding["kind"])):
        severity = "fault" if fault else "note"
        count = record["counts"][severity][kind]
        groups.append({"severity": severity, "kind": kind, "count": count, "findings": list(group)})
    return groups


def _planes(histograms: Mapping[str, list[list[float]]]) -> list[dict[str, Any]]:
    return [
        {
            "title": title,
            "picture": draw_plane(histogram),
            "faces": sum(map(sum, histogram)),
            "fullest": max(map(max, histogram)),
        }
        for title, histogram in histograms.items()
    ]


def _expressions(splits: dict[str, Any]) -> dict[str, Any] | None:
    """Counts of every expression in every split, each with its share of the split's largest in percent."""
    rows = []
    for name in expression_names(splits):
        cells = []
        for summary in splits.values():
            share = summary["expressions"].get(name, 0) / max([*summary["expressions"].values(), 1])
            cells.append((expression_count(summary, name), f"{100 * share:.1f}"))
        rows.append((name, cells))
    return {"splits": list(splits), "rows": rows} if rows else None


def _faces(samples: Sequence[Sample], regions: int) -> dict[str, Any]:
    """Grids of faces by split: one over the plane, or one for each expression."""
    on_plane = not isnan(samples[0][1])
    splits = []
    for split, group in groupby(samples, key=lambda sample: sample[0]):
        faces = list(group)
        if on_plane:
            grids = [("", _plane_cells(faces, regions))]
        else:
            grids = [(name, [*map(_face, part)]) for name, part in groupby(faces, key=lambda face: face[3])]
        splits.append((split, grids))
    text = "One from each region of the plane: valence to the right, arousal upwards."
    return {"text": text if on_plane else "Some of each expression.", "splits": splits}


def _plane_cells(faces: Sequence[Sample], regions: int) -> list[dict[str, Any] | None]:
    """The cells of a grid, row by row from the top."""
    cells: list[dict[str, Any] | None] = [None] * regions**2
    for face in faces:
        column, row = (min(int((value + 1) * regions / 2), regions - 1) for value in face[1:3])
        cells[(regions - 1 - row) * regions + column] = _face(face)
    return cells


def _face(face: Sample) -> dict[str, Any]:
    _, valence, arousal, expression, path, jpeg = face
    text = expression if isnan(valence) else f"valence {valence:+.2f}, arousal {arousal:+.2f}"
    return {"picture": jpeg, "text": f"{text}: {path}"}
