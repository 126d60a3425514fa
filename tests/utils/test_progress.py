import io
import re

import pytest
from rich.console import Console

from avce_pl.utils import progress
from avce_pl.utils.progress import ProgressBar, track


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock of which the test sets the seconds."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_every_ten_seconds_without_a_terminal(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    def work():
        for item in range(30):
            yield item
            clock[0] += 4

    assert list(track(work(), "Counting", 30)) == list(range(30))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Counting: 4 of 30, 0:01:18 left"  # the first time that is more than ten seconds from the start
    assert len(lines) == 9


def test_the_time_left_does_not_count_what_was_done_before(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with ProgressBar("1 of 3 videos", 2000, done=1000, unit="frames") as bar:
        clock[0] = 20
        bar.show(1100, "2 of 3 videos")
    assert capsys.readouterr().err == "2 of 3 videos: 1,100 of 2,000 frames, 0:03:00 left\n"


def test_a_camera_has_no_end(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar("predicting", None, unit="frames") as bar:
        clock[0] = 11
        bar.show(1234)
    assert capsys.readouterr().err == "predicting: 1,234 frames\n"


def test_a_bar_in_a_terminal_that_is_gone_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    terminal = Console(file=stream, force_terminal=True, width=80)
    monkeypatch.setattr(progress, "Console", lambda stderr: terminal)
    with ProgressBar("Counting", 4, unit="files") as bar:
        bar.show(3)
        bar._bar.refresh()
    assert re.search(r"Counting.*3/4.*files", stream.getvalue())
    assert stream.getvalue().endswith("\x1b[2K"), "the line of the bar is cleared"
