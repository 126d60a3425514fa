"""Everything below one ``output_root`` as one HTML page: tables, figures, measurements, and every run."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from avce_pl.errors import AvceError
from avce_pl.report.figures import style
from avce_pl.report.metrics import columns
from avce_pl.report.output import write_output
from avce_pl.report.pages.html import render_page
from avce_pl.report.pages.run_facts import curves, facts, failure
from avce_pl.report.tables.collect import value_of
from avce_pl.report.tables.contrast import DEAD, contrast_state
from avce_pl.report.tables.layout import MISSING, read_layout
from avce_pl.report.tables.picture import draw_table
from avce_pl.report.tables.table import make_table, read_table_records
from avce_pl.runs.records import OPTIMISTIC, RunRecord, is_procedural, read_records, short_name, tested_on_validation
from avce_pl.utils.resources import ROOT, TRAIN

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
    figures, measurements = list(_figures(outputs)), list(_measurements(outputs))
    if not (records or figures or measurements):
        raise AvceError(
            f"{outputs} holds no runs, figures or measurements. Run `{TRAIN}` first, or say "
            "where the output_root is with --outputs FOLDER."
        )
    runs = [record for found in records.values() for record in found]
    tables, missing = _tables(outputs, records)
    failures = list(_failures(outputs, runs))
    shown = {
        "Tables": tables or missing,
        "Figures": figures,
        "Measurements": measurements,
        "Failures": failures,
        "Runs": runs,
    }
    return render_page(
        "report.html.j2",
        "AVCE-PL report",
        Path(__file__).with_suffix(".js").read_text(encoding="utf-8"),
        sections=[title for title, content in shown.items() if content],
        counts=_counts(runs),
        warnings=list(_warnings(runs)),
        failed=_number_of_runs(len(failures)),
        tables=tables,
        missing_tables=missing,
        figures=figures,
        measurements=measurements,
        failures=failures,
        runs=_runs(outputs, runs) if runs else None,
        data=_data(outputs, runs),
    )


def write_report(outputs: Path, out: Path) -> None:
    """Writes the page of `report_page` atomically.

    Raises:
        AvceError: see `report_page`, or the file cannot be written.
    """
    write_output(out, report_page(outputs))


def _counts(runs: Sequence[RunRecord]) -> str:
    if not runs:
        return ""
    count = {state: sum(record.state == state for record in runs) for state in ("done", "failed", "unfinished")}
    return f"{len(runs):,} runs: {', '.join(f'{number:,} {state}' for state, number in count.items() if number)}."


def _warnings(runs: Sequence[RunRecord]) -> Iterator[tuple[Literal["note", "fault"], str]]:
    """What a reader has to know before reading any number."""
    datasets = sorted({r.choices["dataset"] for r in runs if is_procedural(r.choices["dataset"], r.metrics)})
    if datasets:
        yield (
            "note",
            f"Runs on {' and '.join(datasets)} are on procedural faces: their numbers are not comparable with "
            "published ones.",
        )
    if any(tested_on_validation(record.metrics) for record in runs):
        yield "note", f"Some runs, see “tested on”: {OPTIMISTIC}"
    if dead := sum(contrast_state(record.choices, record.metrics) == "dead" for record in runs):
        yield "fault", f"Dead contrast in {_number_of_runs(dead)}: {DEAD}."
    commits = sorted({_of_run(record, "commit") for record in runs if record.state == "done"})
    if len(commits) > 1:
        yield "note", f"Mixed commits: {', '.join(commits)}."


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


def _tables(outputs: Path, records: Mapping[str, Sequence[RunRecord]]) -> tuple[list[dict[str, Any]], list[str]]:
    """The tables that have runs, and the names of the paper's tables that have none."""
    paper = sorted(file.stem for file in (ROOT / "experiments" / "tables").glob("*.yaml"))
    others = [name for name, found in records.items() if name not in paper and len(found) > 1]
    tables, missing = [], []
    for name in [*paper, *others]:
        found = read_table_records(name, read_layout(name), outputs)
        if not found:
            missing.append(name)
        for dataset in sorted({record.choices["dataset"] for record in found}):
            made = make_table(name, outputs, dataset)
            finished = made.lines["mean"].notna().any()
            tables.append(
                {
                    "title": made.layout.title,
                    "name": f"{made.layout.title}, on {dataset}",
                    "head": made.headers,
                    "rows": [[*names, *cells] for names, cells in zip(made.names, made.cells, strict=True)],
                    "texts": len(made.layout.rows),
                    "notes": made.notes,
                    "picture": style.png(draw_table(made)) if finished else None,
                    "more": [],
                }
            )
        if found:
            tables[-1]["more"] = [
                (file.stem.replace("_", " "), file.read_bytes())
                for file in sorted((outputs / name).glob("*.png"))
                if file.stem != name  # such as confusion matrices
            ]
    return tables, missing


def _figures(outputs: Path) -> Iterator[dict[str, Any]]:
    """The pictures of ``avce figure`` below the output_root and its sweeps, with what the JSON beside them says."""
    folders = [outputs / "figures", *sorted(outputs.glob("*/figures"))]
    files = [file for folder in folders for file in sorted(folder.glob("*")) if file.suffix in (".png", ".svg")]
    for stem in dict.fromkeys(file.with_suffix("") for file in files):
        kind = "png" if stem.with_suffix(".png").exists() else "svg"
        read = _read(stem.with_suffix(".json")) if stem.with_suffix(".json").exists() else {}
        about = read if isinstance(read, dict) else {"values": read}
        name = "/".join(part for part in stem.relative_to(outputs).parts if part != "figures")
        numbers = {key: about[key] for key in ("runs", "values") if about.get(key)}
        yield {
            "name": name,
            "kind": kind,
            "picture": stem.with_suffix(f".{kind}").read_bytes(),
            "caption": " ".join(str(about[key]) for key in ("caption", "source") if about.get(key)) or name,
            "notes": about.get("notes", ()),
            "numbers": list(_blocks(numbers, name)),
        }


def _measurements(outputs: Path) -> Iterator[dict[str, Any]]:
    for file in sorted(file for name in ("benchmarks", "speed") for file in (outputs / name).glob("*.json")):
        picture = file.with_suffix(".png")
        yield {
            "name": file.stem,
            "title": file.stem.replace("_", " "),
            "numbers": list(_blocks(_read(file), file.stem)),
            "picture": picture.read_bytes() if picture.exists() else None,
        }


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise AvceError(f"{file} is damaged ({error}). Delete it and make it again.") from None


def _blocks(content: Any, name: str) -> Iterator[dict[str, Any]]:
    """Any JSON as titles, tables, lists and texts; a list of objects is one table with a line for each of them."""
    if isinstance(content, dict):
        inner = {key: value for key, value in content.items() if isinstance(value, dict | list)}
        plain = [(str(key), _cell(value)) for key, value in content.items() if key not in inner]
        if plain:
            yield {"kind": "table", "head": ("what", "value"), "rows": plain, "texts": 1, "name": name}
        for key, value in inner.items():
            yield {"kind": "title", "text": key}
            yield from _blocks(value, f"{name} {key}".strip())
    elif isinstance(content, list) and len(content) > _LISTED:
        yield {"kind": "text", "text": f"{len(content):,} of them, in the file."}
    elif isinstance(content, list) and content and all(isinstance(row, dict) for row in content):
        head = list(dict.fromkeys(key for row in content for key in row if key != "folder"))  # may name the machine's
        texts = [key for key in head if any(isinstance(row.get(key), str) for row in content)]
        head = [*texts, *(key for key in head if key not in texts)]
        rows = [[_cell(row.get(key)) for key in head] for row in content]
        yield {"kind": "table", "head": head, "rows": rows, "texts": len(texts), "name": name}
    elif isinstance(content, list) and any(isinstance(value, str) for value in content):
        yield {"kind": "list", "items": [_cell(value) for value in content]}
    else:
        values = content if isinstance(content, list) else [content]
        yield {"kind": "text", "text": ", ".join(map(_cell, values))}


def _cell(value: Any) -> str:
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)


def _failures(outputs: Path, runs: Iterable[RunRecord]) -> Iterator[dict[str, Any]]:
    for record in runs:
        if text := failure(record):
            where, last = record.folder.relative_to(outputs).parts, text.strip().rpartition("\n")[2]
            yield {"where": where, "last": last, "text": text}


def _runs(outputs: Path, runs: Sequence[RunRecord]) -> dict[str, Any]:
    """The table of all runs: its column titles, those of numbers, and of each run its name and its cells by title."""
    finished = [record for record in runs if record.state == "done"]
    metrics = columns(record.metrics["test"] for record in finished)
    values = {key: [value_of(record, key) for record in runs] for key in metrics}
    metrics = {key: title for key, title in metrics.items() if any(value is not None for value in values[key])}
    rows = []
    for number, record in enumerate(runs):
        cells = {
            "name": record.folder.relative_to(outputs).parts[0],
            **{title: _decimals(values[key][number]) for key, title in metrics.items()},
            "state": record.state,
            **record.choices,
            "contrast": _contrast(record),
            "tested on": _tested_on(record),
            "seed": str(record.seed),
            **{key: _of_run(record, key) for key in ("commit", "seconds", "finished")},
        }
        rows.append((short_name(record.choices, record.seed), cells))
    return {"head": ["draw", "run", *rows[0][1]], "numbers": {"seed", *metrics.values(), "seconds"}, "rows": rows}


def _decimals(value: float | None) -> str:
    return MISSING if value is None else f"{value:.3f}"


def _run_warnings(record: RunRecord) -> Iterator[str]:
    """The warnings that are shown with a run and with its learning curve."""
    if is_procedural(record.choices["dataset"], record.metrics):
        yield _PROCEDURAL
    if tested_on_validation(record.metrics):
        yield "tested on validation images, optimistic"
    if contrast_state(record.choices, record.metrics) == "dead":
        yield "dead contrast, trained without it"


def _data(outputs: Path, runs: Iterable[RunRecord]) -> str:
    """The data of the script, as JSON; a setting that several runs share is stored once."""
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
    return text.replace("<", r"\u003c")  # which would end the script
