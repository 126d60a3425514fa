"""Everything below one ``output_root`` as one HTML page: tables, figures, measurements, and every run."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from avce_pl.errors import AvceError
from avce_pl.report.figures import style
from avce_pl.report.output import write_output
from avce_pl.report.pages.html import frame, image, page, table
from avce_pl.report.pages.run_facts import curves, facts, failure
from avce_pl.report.tables.contrast import DEAD, contrast_state
from avce_pl.report.tables.layout import MISSING, read_layout
from avce_pl.report.tables.picture import draw_table
from avce_pl.report.tables.table import make_table, read_table_records
from avce_pl.runs.records import OPTIMISTIC, RunRecord, is_procedural, read_records, short_name, tested_on_validation
from avce_pl.utils.resources import ROOT

_COLUMNS = {
    "test/ccc_valence": "CCC V",
    "test/ccc_arousal": "CCC A",
    "test/rmse_valence": "RMSE V",
    "test/rmse_arousal": "RMSE A",
    "test/accuracy": "accuracy",
}
_LISTED = 200
_PROCEDURAL = "procedural faces, not comparable with published numbers"


def report_page(outputs: Path) -> str:
    """The page.

    Args:
        outputs: An ``output_root``. Below it lie the runs; ``figures/``, also of each sweep, with PNG or SVG pictures
            and a JSON of the same name (``caption``, ``source``, ``notes``, ``runs``, ``values``); ``benchmarks/`` and
            ``speed/`` with JSON files of what was measured.

    Raises:
        AvceError: there is nothing to report, or a file of a run is damaged.
    """
    folders = sorted(folder for folder in outputs.glob("*") if folder.is_dir())
    records = {folder.name: found for folder in folders if (found := read_records(folder))}
    figures = list(_figures(outputs))
    measured = list(_measurements(outputs))
    if not (records or figures or measured):
        raise AvceError(
            f"{outputs} holds no runs, figures or measurements. Run `python run.py` first, or say "
            "where the output_root is with --outputs FOLDER."
        )
    runs = [record for found in records.values() for record in found]
    sections = {
        "Tables": list(_tables(outputs, records)),
        "Figures": figures,
        "Measurements": measured,
        "Failures": list(_failures(outputs, runs)),
        "Runs": _runs(outputs, runs) if runs else [],
    }
    shown = {title: parts for title, parts in sections.items() if parts}
    links = "".join(f"<a href='#{title.lower()}'>{title}</a>" for title in shown)
    body = ["<header><h1>AVCE-PL: tables, figures and runs</h1>", *_state(runs), f"<nav>{links}</nav></header><main>"]
    for title, parts in shown.items():
        body += [f"<section id={title.lower()}><h2>{title}</h2>", *parts, "</section>"]
    script = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
    return page("AVCE-PL report", [*body, "</main>", _data(outputs, runs)], script)


def write_report(outputs: Path, out: Path) -> None:
    """Writes the page of `report_page` atomically.

    Raises:
        AvceError: see `report_page`, or the file cannot be written.
    """
    write_output(out, report_page(outputs))


def _state(runs: Sequence[RunRecord]) -> Iterator[str]:
    """What a reader has to know before any number."""
    if not runs:
        return
    count = {state: sum(record.state == state for record in runs) for state in ("done", "failed", "unfinished")}
    counts = ", ".join(f"{number:,} {state}" for state, number in count.items() if number)
    yield f"<p class=faint>{len(runs):,} runs: {counts}.</p>"
    datasets = sorted({r.choices["dataset"] for r in runs if is_procedural(r.choices["dataset"], r.metrics)})
    if datasets:
        yield (
            f"<p class='verdict note'>Runs on {escape(' and '.join(datasets))} are on procedural faces: their numbers "
            "are not comparable with published ones.</p>"
        )
    if any(tested_on_validation(record.metrics) for record in runs):
        yield f"<p class='verdict note'>Some runs, see &ldquo;tested on&rdquo;: {escape(OPTIMISTIC)}</p>"
    if dead := sum(contrast_state(record.choices, record.metrics) == "dead" for record in runs):
        yield f"<p class='verdict fault'>Dead contrast in {_number_of_runs(dead)}: {escape(DEAD)}.</p>"
    commits = sorted({_of_run(record, "commit") for record in runs if record.state == "done"})
    if len(commits) > 1:
        yield f"<p class='verdict note'>Mixed commits: {escape(', '.join(commits))}.</p>"
    if count["failed"]:
        yield f"<p class='verdict fault'>{_number_of_runs(count['failed'])} failed: <a href='#failures'>why</a>.</p>"


def _number_of_runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count:,} runs"


def _contrast(record: RunRecord) -> str:
    state = contrast_state(record.choices, record.metrics)
    return MISSING if state == "none" or record.state != "done" else state


def _tested_on(record: RunRecord) -> str:
    split = record.metrics.get("data", {}).get("test_split")
    return {"val": "validation"}.get(split, split) or MISSING


def _of_run(record: RunRecord, key: str) -> str:
    return str(record.metrics.get("run", {}).get(key) or MISSING)


def _tables(outputs: Path, records: Mapping[str, Sequence[RunRecord]]) -> Iterator[str]:
    paper = sorted(file.stem for file in (ROOT / "experiments" / "tables").glob("*.yaml"))
    others = [name for name, found in records.items() if name not in paper and len(found) > 1]
    missing = []
    for name in [*paper, *others]:
        found = read_table_records(name, read_layout(name), outputs)
        if not found:
            missing.append(name)
        for dataset in sorted({record.choices["dataset"] for record in found}):
            made = make_table(name, outputs, dataset)
            rows = [[*names, *cells] for names, cells in zip(made.names, made.cells, strict=True)]
            texts = len(made.layout.rows)
            yield f"<h3>{escape(made.layout.title)}</h3>"
            yield table(made.headers, rows, texts, f"{made.layout.title}, on {dataset}", "sortable")
            yield f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in made.notes)}</ul>"
            if made.lines["mean"].isna().all():
                continue  # no run of it has finished
            picture = style.png(draw_table(made))
            yield _figure("png", picture, f"{made.layout.title}, on {dataset}: the same numbers as a picture")
        for file in sorted((outputs / name).glob("*.png")):
            if file.stem != name:  # such as confusion matrices
                yield _figure("png", file.read_bytes(), f"{file.stem.replace('_', ' ')}, as `avce table` drew it last")
    if missing:
        yield f"<p class=faint>Not run yet: {', '.join(missing)}; <code>make help</code> lists the commands.</p>"


def _figure(kind: str, picture: bytes, caption: str, more: str = "") -> str:
    described = f"<figcaption>{escape(caption)}{more}</figcaption>"
    return f"<figure class=paper>{image(kind, picture, caption)}{described}</figure>"


def _figures(outputs: Path) -> Iterator[str]:
    """The pictures of ``avce figure`` below the output_root and its sweeps, with what the JSON beside them says."""
    folders = [outputs / "figures", *sorted(outputs.glob("*/figures"))]
    files = [file for folder in folders for file in sorted(folder.glob("*")) if file.suffix in (".png", ".svg")]
    for stem in dict.fromkeys(file.with_suffix("") for file in files):
        kind = "png" if stem.with_suffix(".png").exists() else "svg"
        read = _read(stem.with_suffix(".json")) if stem.with_suffix(".json").exists() else {}
        about = read if isinstance(read, dict) else {"values": read}
        name = "/".join(part for part in stem.relative_to(outputs).parts if part != "figures")
        sentences = [str(about[key]) for key in ("caption", "source") if about.get(key)]
        more = "".join(f"<br>{escape(str(note))}" for note in about.get("notes", ()))
        numbers = {key: about[key] for key in ("runs", "values") if about.get(key)}
        if numbers:
            more += f"<details><summary>runs and numbers</summary>{''.join(_values(numbers, name))}</details>"
        yield f"<h3>{escape(name)}</h3>"
        yield _figure(kind, stem.with_suffix(f".{kind}").read_bytes(), " ".join(sentences) or name, more)


def _measurements(outputs: Path) -> Iterator[str]:
    for file in sorted(file for name in ("benchmarks", "speed") for file in (outputs / name).glob("*.json")):
        yield f"<h3>{escape(file.stem.replace('_', ' '))}</h3>"
        yield from _values(_read(file), file.stem)
        if (picture := file.with_suffix(".png")).exists():
            yield _figure("png", picture.read_bytes(), f"{file.stem}: the same numbers as a picture")


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise AvceError(f"{file} is damaged ({error}). Delete it and make it again.") from None


def _values(content: Any, name: str = "") -> Iterator[str]:
    """Any JSON as tables: a list of objects has a line for each, an object one for each of its values."""
    if isinstance(content, dict):
        inner = {key: value for key, value in content.items() if isinstance(value, dict | list)}
        plain = [[str(key), _cell(value)] for key, value in content.items() if key not in inner]
        if plain:
            yield table(("what", "value"), plain, 1, name, "sortable")
        for key, value in inner.items():
            yield f"<p><b>{escape(str(key))}</b></p>"
            yield from _values(value, f"{name} {key}".strip())
    elif isinstance(content, list) and len(content) > _LISTED:
        yield f"<p>{len(content):,} of them, in the file.</p>"
    elif isinstance(content, list) and content and all(isinstance(row, dict) for row in content):
        head = list(dict.fromkeys(key for row in content for key in row if key != "folder"))  # may name the machine's
        texts = [key for key in head if any(isinstance(row.get(key), str) for row in content)]
        head = [*texts, *(key for key in head if key not in texts)]
        yield table(head, [[_cell(row.get(key)) for key in head] for row in content], len(texts), name, "sortable")
    elif isinstance(content, list) and any(isinstance(value, str) for value in content):
        yield f"<ul>{''.join(f'<li>{escape(_cell(value))}</li>' for value in content)}</ul>"
    else:
        values = content if isinstance(content, list) else [content]
        yield f"<p>{escape(', '.join(_cell(value) for value in values))}</p>"


def _cell(value: Any) -> str:
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)


def _failures(outputs: Path, runs: Iterable[RunRecord]) -> Iterator[str]:
    for record in runs:
        if text := failure(record):
            where = escape(str(record.folder.relative_to(outputs))).replace("/", "/<wbr>")
            last = escape(text.strip().rpartition("\n")[2])
            yield f"<details><summary><b>{where}</b> {last}</summary><pre>{escape(text)}</pre></details>"


def _runs(outputs: Path, runs: Sequence[RunRecord]) -> list[str]:
    metrics = {key: title for key, title in _COLUMNS.items() if any(key in r.metrics.get("test", {}) for r in runs)}
    numbers = ("seed", *metrics.values(), "seconds")
    lines = []
    for number, record in enumerate(runs):
        test = record.metrics.get("test", {})
        cells = {
            "name": record.folder.relative_to(outputs).parts[0],
            **{title: f"{test[key]:.3f}" if key in test else MISSING for key, title in metrics.items()},
            "state": record.state,
            **record.choices,
            "contrast": _contrast(record),
            "tested on": _tested_on(record),
            "seed": str(record.seed),
            **{key: _of_run(record, key) for key in ("commit", "seconds", "finished")},
        }
        name = escape(short_name(record.choices, record.seed))
        lines.append(
            f"<tr><td><input type=checkbox aria-label='Draw the curve of {name}' value={number}>"
            f"<td class=text><button>{name}</button>"
            + "".join(f"<td{'' if key in numbers else ' class=text'}>{escape(text)}" for key, text in cells.items())
        )
    heads = "".join(
        f"<th scope=col{'' if key in numbers else ' class=text'}>{key.replace('_', ' ')}</th>"
        for key in ("draw", "run", *cells)
    )
    inside = f"<thead><tr>{heads}</tr></thead><tbody id=rows>{''.join(lines)}</tbody>"
    return [
        "<div class=tools><input type=search id=filter aria-label='Filter the runs' "
        "placeholder='filter, such as mining=hard seed=0 or failed'><output id=count></output></div>",
        frame(inside, "All runs", "sortable tall"),
        "<p class=faint>A run's name opens its configuration, data, protocol and all metrics; a tick draws its "
        "learning curve.</p>",
        "<h3 id=curves>Learning curves</h3>",
        "<div class=tools><select id=metric aria-label='What the curves show'></select>"
        "<button id=all>tick the rows shown</button><button id=none>tick none</button></div>",
        "<div id=chart></div>",
        "<dialog aria-labelledby=run><form method=dialog><button>close</button></form><h2 id=run></h2>"
        "<div id=details></div></dialog>",
    ]


def _run_warnings(record: RunRecord) -> Iterator[str]:
    """What is shown with a run and with its learning curve."""
    if is_procedural(record.choices["dataset"], record.metrics):
        yield _PROCEDURAL
    if tested_on_validation(record.metrics):
        yield "tested on validation images, optimistic"
    if contrast_state(record.choices, record.metrics) == "dead":
        yield "dead contrast, trained without it"


def _data(outputs: Path, runs: Iterable[RunRecord]) -> str:
    """What the script shows; a setting that several runs share is there once."""
    settings: dict[str, int] = {}
    described = []
    for record in runs:
        pairs = [f"{key}={value}" for key, value in record.settings.items()]
        where = record.folder.relative_to(outputs)
        words = {"name": where.parts[0], **record.choices, "seed": record.seed, "state": record.state}
        described.append(
            {
                "label": short_name(record.choices, record.seed),
                "where": str(where),
                "words": [f"{key}={value}" for key, value in words.items()],
                "note": "; ".join(_run_warnings(record)),
                "commit": _of_run(record, "commit"),
                "facts": facts(record),
                "failure": failure(record),
                "settings": [settings.setdefault(pair, len(settings)) for pair in pairs],
                "curves": curves(record.folder),
            }
        )
    text = json.dumps({"settings": list(settings), "runs": described}, separators=(",", ":"), ensure_ascii=False)
    return f"<script type=application/json id=data>{text.replace('<', chr(92) + 'u003c')}</script>"
