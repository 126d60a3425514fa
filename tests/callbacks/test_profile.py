import json
import time

from avce_pl.training.callbacks.profile import PARTS, Profile


def test_time_is_booked_once_on_the_innermost_part(tmp_path) -> None:
    profile = Profile(tmp_path)
    started = time.perf_counter()
    with profile.part("losses"):
        time.sleep(0.02)
        with profile.part("backward"):
            time.sleep(0.05)
    elapsed = time.perf_counter() - started
    assert profile.seconds["losses"] >= 0.02
    assert profile.seconds["backward"] >= 0.05
    assert sum(profile.seconds.values()) <= elapsed


def test_a_run_says_where_its_time_went(run) -> None:
    folder = run("trainer.profile=true", "dataset.images_per_subject=16")
    table = (folder / "profile.txt").read_text()
    rows = {line.split()[0]: line.split()[1:4] for line in table.splitlines()[2:]}
    assert rows.keys() == {*PARTS, "total"}
    assert all(float(rows[part][0]) > 0 for part in ("forward", "backward", "optimizers", "data", "validation"))
    assert abs(sum(float(rows[part][0]) for part in PARTS) - float(rows["total"][0])) < 0.1
    names = {event.get("name") for event in json.loads((folder / "trace.json").read_text())["traceEvents"]}
    assert {"forward", "transforms", "backward", "optimizers"} <= names
