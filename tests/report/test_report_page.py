"""The page of all results: what it says, what it must not run, and how it behaves in a browser."""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from avce_pl.errors import AvceError
from avce_pl.report.pages.report import report_page, write_report
from avce_pl.report.pages.run_facts import POINTS, curves
from avce_pl.utils.resources import ROOT
from tests.support.browser import CHROMIUM, Browser

HACK = "document.title='hacked'"
HOSTILE = f"<img src=x onerror={HACK}>"
EPOCHS = 4


def write_run(outputs: Path, formula: str, seed: int, ccc: float | None, name: str = "table2", commit: str = "abc1"):
    """A run as the suite leaves it; without a CCC it has not finished."""
    folder = outputs / name / "synthetic_video/avce/al" / formula / "hard" / f"seed_{seed}"
    folder.mkdir(parents=True)
    settings = {"crl_formula.name": formula, "mining.name": "hard", "trainer.max_epochs": EPOCHS, "seed": seed}
    (folder / "identity.json").write_text(json.dumps(settings))
    lines = ["step,epoch,train/loss,val/ccc_mean"]
    for epoch in range(EPOCHS):
        lines += [f"{10 * epoch + 4},{epoch},{1 / (epoch + 1)},", f"{10 * epoch + 9},{epoch},,{epoch / 10}"]
    (folder / "history.csv").write_text("\n".join(lines))
    if ccc is not None:
        test = {"test/ccc_valence": ccc, "test/ccc_arousal": ccc / 2}
        data = {"protocol": "synthetic_video", "fingerprint": "f00", "split_hash": "5517", "rows": {"train": 4800}}
        run = {"commit": commit, "seconds": 70.5, "finished": "2026-11-24T11:31:30Z"}
        record = {"test": test, "data": data, "run": run, "parameters": {}, "digest": "d1"}
        (folder / "metrics.json").write_text(json.dumps(record))
    return folder


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    return write_outputs(tmp_path / "outputs")


def write_outputs(outputs: Path) -> Path:
    """Five runs of Table 2, of which one has failed and one is not finished, two figures and two measurements."""
    write_run(outputs, "avce", 0, 0.5)
    write_run(outputs, "avce", 1, 0.75, commit="abc2")
    write_run(outputs, "avce", 2, None)
    write_run(outputs, "infonce", 0, -0.25)
    failed = write_run(outputs, "infonce", 1, 0.9)
    trace = f'Traceback:\n  File "/home/ada/avce_pl/method/base.py", line 3\nValueError: </script>{HOSTILE}\n'
    (failed / "failed.txt").write_text(trace)
    for folder in (outputs / "figures", outputs / "table2/figures", outputs / "speed", outputs / "benchmarks"):
        folder.mkdir()
    svg = f"<svg xmlns='http://www.w3.org/2000/svg' width='40' height='30'><script>{HACK}</script></svg>"
    (outputs / "figures/figure2.svg").write_text(svg)
    about = {"caption": "Curves of one video", "notes": ["procedural faces"], "values": {"peaks": [{"frame": 1}]}}
    (outputs / "figures/figure2.json").write_text(json.dumps(about))
    (outputs / "table2/figures/analysis.svg").write_text(svg)
    (outputs / "table2/table2_confusion.png").write_bytes(b"png")
    rows = [{"name": "S1", "target": 0.7, "measured": 0.34567, "verdict": "met"}, {"name": HOSTILE, "measured": None}]
    (outputs / "benchmarks/simplex.json").write_text(json.dumps(rows))
    (outputs / "speed/speed.json").write_text(json.dumps({"machine": "a CPU", "methods": [{"method": "caf", "ms": 2}]}))
    return outputs


def test_everything_is_there_and_says_what_it_is(outputs: Path) -> None:
    page = report_page(outputs)
    assert "5 runs: 3 done, 1 failed, 1 unfinished." in page
    assert page.count("not comparable with") >= 6  # the page, the table, its picture's notes, and every run
    assert "Mixed commits: abc1, abc2." in page
    assert "0.625 ± 0.177" in page
    assert ">0.691</td>" in page  # published
    assert "Missing or unfinished runs" in page
    assert "table2 confusion, as `avce table` drew it last" in page
    for text in ("Curves of one video", "table2/analysis", "0.3457", "a CPU", "f00", "5517", "trainer.max_epochs=4"):
        assert text in page, text
    assert "/home/ada" not in page
    assert "File &#34;…/method/base.py&#34;, line 3" in page
    assert str(outputs) not in page


def test_one_file_that_runs_one_script_and_loads_nothing(outputs: Path) -> None:
    page = report_page(outputs)
    assert re.findall(r"<script[^>]*>", page) == ["<script type=application/json id=data>", "<script>"]
    script = re.search(r"<script>(.*)</script></body>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in page
    assert HOSTILE not in page
    assert set(re.findall(r"src='(.{5})", page)) == {"data:"}
    assert set(re.findall(r" href='(.)", page)) == {"#"}


def test_learning_curves_are_those_of_the_history(trained: Path) -> None:
    history = pd.read_csv(trained / "history.csv")
    found = curves(trained)
    validation = history.dropna(subset="val/ccc_mean")
    np.testing.assert_allclose(found["val"]["ccc_mean"], validation["val/ccc_mean"], rtol=1e-3)
    assert found["val"]["x"] == [1, 2]
    training = history.dropna(subset="train/loss")
    np.testing.assert_allclose(found["train"]["loss"], training["train/loss"], rtol=1e-3)
    np.testing.assert_allclose(found["train"]["x"], (training["step"] + 1) / 3, rtol=1e-3)


def test_a_long_history_is_thinned_and_nan_has_no_point(tmp_path: Path) -> None:
    lines = [f"{n},{n},{'nan' if n == 0 else n}" for n in range(1001)]
    (tmp_path / "history.csv").write_text("\n".join(["step,epoch,val/ccc_mean", *lines]))
    found = curves(tmp_path)["val"]
    assert len(found["x"]) == len(found["ccc_mean"]) <= POINTS
    assert found["ccc_mean"][:2] == [None, found["x"][1] - 1]


def test_errors_are_sentences(outputs: Path, tmp_path: Path) -> None:
    with pytest.raises(AvceError, match="holds no runs, figures or measurements"):
        report_page(tmp_path / "nothing")
    with pytest.raises(AvceError, match="cannot be written: Is a directory"):
        write_report(outputs, tmp_path)
    history = next(outputs.rglob("history.csv"))
    history.write_text("step,epoch,val/ccc_mean\nx,y,z")
    with pytest.raises(AvceError, match=r"history.csv is damaged .* Delete the run's folder"):
        report_page(outputs)
    history.unlink()
    (outputs / "speed/speed.json").write_text("{")
    with pytest.raises(AvceError, match=r"speed.json is damaged .* make it again"):
        report_page(outputs)


def test_the_command_needs_no_torch(outputs: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    for name in ("torch", "pytorch_lightning", "torchvision", "hydra", "wandb"):
        (blocked / name).mkdir(parents=True)
        (blocked / name / "__init__.py").write_text(f"raise ImportError('no {name} here')")
    environment = os.environ | {"PYTHONPATH": f"{blocked}{os.pathsep}{ROOT}"}
    out = tmp_path / "new/report.html"
    arguments = [sys.executable, "-m", "avce_pl", "report", "--outputs", str(outputs), "--out", str(out)]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"wrote {out}\n"
    assert out.read_text(encoding="utf-8") == report_page(outputs)
    assert list(out.parent.iterdir()) == [out]


def test_templates_are_filled_by_jinja_only_when_a_page_is_made() -> None:
    code = "import sys, avce_pl.report.pages.report, avce_pl.report.pages.check; assert 'jinja2' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine; apt-get install chromium")
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outputs = write_outputs(tmp_path_factory.mktemp("page") / "outputs")
    write_run(outputs, "avce", 0, 0.125, name=HOSTILE)
    write_report(outputs, outputs / "report.html")
    return outputs / "report.html"


@pytest.fixture
def opened(browser: Browser, written: Path) -> Browser:
    browser.look(1280, dark=False)
    browser.open(written)
    return browser


def cells(browser: Browser, column: int) -> list[str]:
    return browser.evaluate(f"[...document.querySelectorAll('#rows tr')].map(r => r.cells[{column}].textContent)")


def test_nothing_hostile_runs_and_nothing_is_loaded(opened: Browser) -> None:
    opened.evaluate("document.querySelectorAll('#rows button').forEach(b => b.click())")
    assert HOSTILE in opened.evaluate("document.body.textContent")
    assert opened.evaluate("document.title") == "AVCE-PL report"
    assert opened.evaluate("document.querySelectorAll(\"img[src='x'], [onerror]\").length") == 0
    assert {url.split(":")[0] for url in opened.requests} == {"file", "data"}
    assert sum(url.startswith("file:") for url in opened.requests) == 1


def test_tables_are_sorted_with_the_keyboard(opened: Browser) -> None:
    focus = "[...document.querySelectorAll('thead button')].filter(b => b.textContent == 'CCC V').at(-1)"
    opened.evaluate(f"{focus}.focus()")
    column = opened.evaluate(f"{focus}.parentElement.cellIndex")
    opened.press("Enter", "\r")
    assert cells(opened, column) == ["-0.250", "0.125", "0.500", "0.750", "–", "–"]
    opened.press("Enter", "\r")
    assert cells(opened, column) == ["0.750", "0.500", "0.125", "-0.250", "–", "–"]
    assert opened.evaluate(f"{focus}.parentElement.ariaSort") == "descending"
    opened.evaluate("[...document.querySelectorAll('#runs thead button')].find(b => b.textContent == 'state').click()")
    assert cells(opened, 5)[-2:] == ["failed", "unfinished"]


def test_runs_are_filtered(opened: Browser) -> None:
    def shown(text: str) -> list[str]:
        opened.evaluate("f = document.getElementById('filter'); f.value = ''; f.focus()")
        opened.call("Input.insertText", text=text)
        return cells(opened, 1)

    assert len(cells(opened, 1)) == 6
    assert shown("crl_formula=infonce SEED=1") == ["al-infonce-hard-s1"]
    assert opened.evaluate("document.getElementById('count').textContent") == "1 of 6 runs"
    assert shown("valueerror") == ["al-infonce-hard-s1"]
    assert shown("state=done name=table2") == ["al-avce-hard-s0", "al-avce-hard-s1", "al-infonce-hard-s0"]
    assert shown("no such run") == []


def test_of_many_runs_those_are_laid_out_that_were_scrolled_to(browser: Browser, tmp_path: Path) -> None:
    for seed in range(130):
        write_run(tmp_path, "avce", seed, seed / 200, name="many")
    write_report(tmp_path, tmp_path / "report.html")
    browser.open(tmp_path / "report.html")
    assert browser.evaluate("document.getElementById('count').textContent") == "130 of 130 runs"
    assert len(cells(browser, 1)) == 100
    browser.evaluate("box = document.querySelector('.tall'); box.scrollTop = box.scrollHeight")
    browser.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done))).then(() => 0)")
    assert len(cells(browser, 1)) == 130
    browser.evaluate("[...document.querySelectorAll('#runs thead button')].find(b => b.textContent == 'seed').click()")
    assert cells(browser, 1)[:3] == ["al-avce-hard-s0", "al-avce-hard-s1", "al-avce-hard-s2"]


def test_learning_curves_of_ticked_rows(opened: Browser) -> None:
    def lines() -> int:
        return opened.evaluate("document.querySelectorAll('#chart path:not(.grid, .swatch path)').length")

    assert lines() == 3  # the first ones, at the start
    opened.evaluate("document.getElementById('none').click()")
    assert lines() == 0
    assert "Tick runs in the table" in opened.evaluate("document.getElementById('chart').textContent")
    for number in (1, 2):
        opened.evaluate(f"document.querySelectorAll('#rows input')[{number}].focus()")
        opened.press(" ", " ")
    assert lines() == 2
    text = opened.evaluate("document.getElementById('chart').textContent")
    assert "not comparable with published numbers" in text
    assert "Mixed commits" in text
    x = opened.evaluate("document.querySelector('#chart path:not(.grid)').getAttribute('d')")
    assert x.count("L") == EPOCHS - 1
    values = opened.evaluate("[...document.querySelectorAll('#chart tbody td')].slice(1, 4).map(c => c.textContent)")
    assert values == ["0.3", "0", "0.3"]
    opened.evaluate("m = document.getElementById('metric'); m.value = 'train/loss'")
    opened.evaluate("m.dispatchEvent(new Event('change'))")
    assert "train/loss" in opened.evaluate("document.querySelector('#chart svg').getAttribute('aria-label')")


def test_a_run_opens_and_closes_with_the_keyboard(opened: Browser) -> None:
    opened.evaluate("document.querySelectorAll('#rows button')[5].focus()")
    opened.press("Enter", "\r")
    text = opened.evaluate("document.querySelector('dialog[open]').textContent")
    for part in ("al-infonce-hard-s1", "Failure", "ValueError: </script>", "procedural", "trainer.max_epochs"):
        assert part in text
    opened.press("Escape")
    assert opened.evaluate("document.querySelector('dialog[open]')") is None


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_phones_and_desks_by_day_and_by_night(opened: Browser, width: int, dark: bool) -> None:
    opened.look(width, dark=dark)
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    background = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(15, 23, 42)" if dark else "rgb(255, 255, 255)")
