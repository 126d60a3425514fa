"""Scale: `avce table` and `avce report` over 1,000 run folders, and the page in headless Chromium.

The runs are small but whole: settings, metrics and a learning curve of 20 epochs each, and every fiftieth has failed.
The commands are timed as a user starts them, process start included, in CPU seconds (other programs share the cores);
the page is timed by its own clock, each step up to the finished layout.

    python experiments/benchmarks/report_speed.py --json report_speed.json
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from common import Row, arguments, at_most, finish, note

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.report.browser import CHROMIUM, Browser  # noqa: E402

RUNS, EPOCHS, STEPS = 1000, 20, 10
SCRIPT = """(() => {
  const seconds = {};
  const timed = (name, act) => {
    const start = performance.now();
    act();
    document.body.getBoundingClientRect();
    seconds[name] = (performance.now() - start) / 1000;
  };
  const filter = document.getElementById("filter");
  const type = (text) => { filter.value = text; filter.dispatchEvent(new Event("input")); };
  timed("filter to a third", () => type("crl_formula=infonce"));
  timed("filter to a few", () => type("crl_formula=infonce mining=hard seed=7"));
  timed("clear the filter", () => type(""));
  timed("sort by a column", () => document.querySelectorAll("#runs thead button")[3].click());
  timed("draw 24 curves", () => document.getElementById("all").click());
  timed("open a run", () => document.querySelector("#rows button").click());
  seconds["open the page"] = performance.getEntriesByType("navigation")[0].loadEventEnd / 1000;
  return seconds;
})()"""


def write_runs(outputs: Path) -> None:
    """Writes the run folders, as runs leave them."""
    lines = ["step,epoch,train/loss,train/loss_supervised,train/loss_crl,val/ccc_valence,val/ccc_arousal,val/ccc_mean"]
    for step in range(EPOCHS * STEPS):
        epoch, last = divmod(step, STEPS)
        values = [f"{step / 1e3:.16f}"] * 3
        nothing = [""] * 3
        cells = [*nothing, *values] if last == STEPS - 1 else [*values, *nothing]
        lines.append(",".join([str(step), str(epoch), *cells]))
    settings = {f"group{n // 5}.setting{n}": n / 7 for n in range(80)}
    test = {f"test/{m}_{a}": 0.5 for m in ("ccc", "pcc", "rmse", "sagr") for a in ("valence", "arousal", "mean")}
    data = {"protocol": "synthetic_video", "fingerprint": "f" * 20, "split_hash": "e" * 20, "rows": {"train": 4800}}
    rows = [(f, m) for f in ("infonce", "barlow_twins", "avce") for m in ("none", "debiased", "hard")]
    for number in range(RUNS):
        (formula, mining), seed = rows[number % len(rows)], number // len(rows)
        folder = outputs / "table2/synthetic_video/avce/al" / formula / mining / f"seed_{seed}"
        folder.mkdir(parents=True)
        own = {"crl_formula.name": formula, "mining.name": mining, "seed": seed}
        (folder / "identity.json").write_text(json.dumps(settings | own))
        (folder / "history.csv").write_text("\n".join(lines))
        test["test/ccc_valence"] = number * 7919 % RUNS / RUNS
        record = {"test": test, "data": data, "parameters": {}, "run": {"commit": "abc1234", "seconds": 70.5}}
        if number % 50 == 49:
            (folder / "failed.txt").write_text("Traceback:\nValueError: an example")
        else:
            (folder / "metrics.json").write_text(json.dumps(record))


def processor_time(*arguments: str) -> float:
    """CPU seconds of an `avce` command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-m", "avce_pl", *arguments], env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(rounds: int) -> list[Row]:
    """All rows of the benchmark."""
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        outputs, page = Path(folder) / "outputs", Path(folder) / "report.html"
        write_runs(outputs)
        commands: dict[str, Sequence[str]] = {
            "avce table": ("table", "table2", "--outputs", str(outputs)),
            "avce report": ("report", "--outputs", str(outputs), "--out", str(page)),
        }
        for turn in range(rounds + 1):
            found = {name: processor_time(*command) for name, command in commands.items()}
            if CHROMIUM is not None:
                with Browser(Path(folder) / f"profile{turn}") as browser:
                    browser.look(1280, dark=False)
                    browser.open(page)
                    found |= browser.evaluate(SCRIPT)
            if turn:  # the first one warms the disk
                for name, value in found.items():
                    seconds.setdefault(name, []).append(value)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return [
        at_most("–", f"avce table over {RUNS:,} runs, CPU seconds", medians.pop("avce table"), 3),
        note("–", f"avce report over {RUNS:,} runs, CPU seconds", medians.pop("avce report")),
        *(note("–", f"page of {RUNS:,} runs: {name}, seconds", value) for name, value in medians.items()),
    ]


if __name__ == "__main__":
    given = arguments(__doc__, rounds=3)
    finish(measure(given.rounds), given.json)
