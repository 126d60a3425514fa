"""A check-up of a data set as one HTML page that needs nothing else: no network, no script, no other file."""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby
from math import isnan
from typing import Any

from avce_pl.report.check_text import SPLIT_COLUMNS, expression_names, split_cells, verdict
from avce_pl.report.plane_figure import draw_plane

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2937; --faint: #64748b; --line: #e2e8f0; --paper: #ffffff;
  --card: #f8fafc; --bar: #1d4ed8; --fault: #b91c1c; --note: #a16207; --clean: #15803d; }
@media (prefers-color-scheme: dark) { :root { --ink: #e5e7eb; --faint: #94a3b8; --line: #334155; --paper: #0f172a;
  --card: #1e293b; --bar: #60a5fa; --fault: #f87171; --note: #facc15; --clean: #4ade80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 72rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; }
p { margin: .25rem 0; } .faint, figcaption { color: var(--faint); font-size: .875rem; }
.verdict { margin: 1rem 0; padding: .75rem 1rem; border-left: 4px solid; background: var(--card); font-weight: 600; }
.fault { color: var(--fault); } .note { color: var(--note); } .clean { color: var(--clean); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem .3rem 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; color: var(--faint); font-size: .875rem; } th:first-child, td:first-child { text-align: left; }
details { border-bottom: 1px solid var(--line); padding: .4rem 0; } summary { cursor: pointer; }
details ul { margin: .5rem 0; padding-left: 1.25rem; } li { font-size: .875rem; } li b { font-weight: 600; }
.row { display: flex; flex-wrap: wrap; gap: 1.5rem; } figure { margin: 0; } .row figure { flex: 0 1 19rem; }
.wide figure { flex: 1 1 20rem; max-width: 34rem; }
figure img { display: block; max-width: 100%; height: auto; }
td.bar { width: 14rem; min-width: min(9rem, 18vw); } td.bar i { display: block; height: .8rem; background: var(--bar); }
.faces { display: grid; grid-template-columns: repeat(5, 1fr); gap: 3px; }
.faces > * { aspect-ratio: 1; background: var(--card); } .faces img { width: 100%; }
"""


Sample = tuple[str, float, float, str, str, bytes]
"""Split, valence, arousal, expression, path and JPEG of a face."""


def check_page(record: dict[str, Any], samples: Sequence[Sample], regions: int) -> str:
    """The page.

    Args:
        record: see `avce_pl.dataset.check.CheckUp`.
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
        parts += ["<h2>Splits</h2>", _table(SPLIT_COLUMNS, split_cells(record))]
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
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; img-src data:; "
        "style-src 'unsafe-inline'\"><meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<title>Check of {escape(record['dataset'])}</title><style>{_STYLE}</style></head><body>"
        + "\n".join(parts)
        + "</body></html>\n"
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are text."""
    lines = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return (
        f"<div class=scroll><table><tr>{''.join(f'<th>{escape(name)}</th>' for name in head)}</tr>{body}</table></div>"
    )


def _findings(record: dict[str, Any]) -> list[str]:
    parts = []
    for (fault, kind), group in groupby(record["findings"], key=lambda f: (f["fault"], f["kind"])):
        found, count = list(group), record["counts"][kind]
        items = [f"<li><b>{escape(f['where'])}</b> {escape(f['detail'])}</li>" for f in found]
        if count > len(found):
            items.append(f"<li>and {count - len(found):,} more</li>")
        label = f"<span class={'fault' if fault else 'note'}>{'fault' if fault else 'note'}</span>"
        opened = " open" if count <= 10 else ""
        parts.append(
            f"<details{opened}><summary>{label} {escape(kind)} ({count:,})</summary><ul>{''.join(items)}</ul></details>"
        )
    return ["<h2>Findings</h2>", *parts] if parts else []


def _plane(histogram: list[list[float]], title: str) -> str:
    total = sum(map(sum, histogram))
    caption = f"<b>{escape(title)}</b>, {total:,.0f} faces; the fullest bin holds {max(map(max, histogram)):,.0f}"
    alt = f"Histogram of valence and arousal: {title}"
    return f"<figure>{_image('png', draw_plane(histogram), alt)}<figcaption>{caption}</figcaption></figure>"


def _image(kind: str, data: bytes, alt: str) -> str:
    return f"<img src='data:image/{kind};base64,{b64encode(data).decode()}' alt='{escape(alt)}' title='{escape(alt)}'>"


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
    return f"<div class=scroll><table><tr><th>expression</th>{head}</tr>{''.join(lines)}</table></div>"


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
    return _image("jpeg", jpeg, f"{text}: {path}")
