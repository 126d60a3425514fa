"""All benchmarks one after the other, and one table of target, measured and verdict; `make bench`.

Every program runs in a process of its own with one thread; one that fails is a row of the table, and the others run.
About half an hour on one core.

    python experiments/benchmarks/run_all.py --out outputs/benchmarks
    python experiments/benchmarks/run_all.py --only simplex_speed data_speed
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from common import verdict
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tabulate import tabulate

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
NOT_HERE = ("common", "run_all", "method_speed")  # the last makes the paper's speed table: `avce table` shows it


def programs() -> list[str]:
    """The names of the benchmarks."""
    return sorted(file.stem for file in HERE.glob("*.py") if file.stem not in NOT_HERE)


def run(program: str, console: Console) -> list[dict[str, Any]]:
    """The rows of a benchmark, or one row that says that it failed."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        done = subprocess.run(
            [sys.executable, str(HERE / f"{program}.py"), "--json", str(file)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
        )
        rows = json.loads(file.read_text()) if file.exists() else []
    if done.returncode or not rows:
        reason = (done.stderr.strip() or done.stdout.strip() or "no rows").splitlines()[-1]
        console.print(f"{program} failed (code {done.returncode}): {reason}", markup=False)
        rows.append({"id": "–", "what": f"{program}: {reason}", "target": "runs", "measured": None, "met": False})
    return [row | {"program": program} for row in rows]


def machine() -> str:
    """Processor, cores and versions; names nobody."""
    model = platform.processor() or platform.machine()
    if (cpuinfo := Path("/proc/cpuinfo")).exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    from importlib.metadata import version

    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, torch {version('torch')}"


def table(record: dict[str, Any]) -> str:
    """The rows with a target, as Markdown, with the machine and the time under them."""
    held = [row for row in record["rows"] if row["met"] is not None]
    cells = []
    for row in held:
        measured = "–" if row["measured"] is None else f"{row['measured']:.4g}"
        cells.append([row["id"], row["what"], row["target"], measured, verdict(row["met"])])
    cells.sort(key=lambda row: int(row[0][1:]) if row[0][1:].isdigit() else 99)
    met = sum(row["met"] for row in held)
    text: str = tabulate(cells, ["", "what", "target", "measured", "verdict"], "pipe", disable_numparse=True)
    return f"{text}\n\n{met} of {len(held)} met, on {record['machine']}, load {record['load']:.1f}, {record['date']}.\n"


def main() -> None:
    """Runs, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmarks"))
    parser.add_argument("--only", nargs="+", choices=programs(), default=programs(), metavar="PROGRAM")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    console, rows, started = Console(stderr=True), [], time.monotonic()
    columns = BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(given.only))
        for program in given.only:
            progress.update(task, description=program)
            rows += run(program, progress.console)
            progress.advance(task)
            if not console.is_terminal:
                console.print(f"{program} done after {timedelta(seconds=round(time.monotonic() - started))}")
    record = {
        "machine": machine(),
        "load": os.getloadavg()[0],
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "rows": rows,
    }
    (given.out / "benchmarks.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    (given.out / "benchmarks.md").write_text(table(record))
    print(table(record))
    print(f"files: {given.out / 'benchmarks.md'}, {given.out / 'benchmarks.json'}")


if __name__ == "__main__":
    main()
