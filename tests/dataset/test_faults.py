"""A check finds every fault that the generator can put into a layout, with its place, and none where there is none."""

import copy
import pickle
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from avce_pl.config.open_dataset import open_dataset
from avce_pl.dataset.check.check import CheckUp, check
from avce_pl.synthesis import renderer
from avce_pl.synthesis.writers import LAYOUTS, Injected, film, write_layout

SMALL: dict[str, dict[str, int]] = {
    "affectnet_2017": {"train": 8, "val": 4, "size": 40},
    "affectnet_2021": {"train": 6, "val": 4, "size": 40},
    "raf_db": {"train": 6, "val": 4, "size": 40},
    "aff_wild": {"train": 3, "test": 1, "size": 40, "frames": 8},
    "aff_wild2": {"train": 3, "val": 1, "test": 0, "size": 40, "frames": 8},
    "afew_va": {"train": 13, "val": 0, "size": 40, "frames": 6},
    "csv": {"train": 12, "val": 4, "size": 40},
}
ROOM = {"affectnet_2017": 25, "affectnet_2021": 15, "raf_db": 13, "aff_wild": 9, "aff_wild2": 16, "csv": 16}
"""Training images, or videos, for all faults at once."""

NOTES = {
    "wrong_case",
    "no_negative",
    "one_value",
    "other_ending",
    "decomposed_name",
    "nested",
    "headerless",
    "no_face",
    "sentinels",
    "negative_box",
}
LISTS = {
    "affectnet_2017": "Manually_Annotated_file_lists/training.csv",
    "raf_db": "basic/EmoLabel/list_patition_label.txt",
    "csv": "training_list.csv",
}
KINDS = {
    "truncated_image": "damaged_image",
    "box_outside": "wrong_box",
    "negative_box": "left_out",
    "truncated_label": "bad_label",
    "pickled_label": "bad_label",
}
ALSO = {
    "missing_video": {"missing_image", "left_out"},
    "duplicate_image": {"conflicting_labels"},
    "overlap": {"conflicting_labels"},
}
"""What else a fault brings about: two faces with the same bytes are drawn with labels of their own."""
MAY = {"expected_rows", "expected_videos", "label_shift", "not_prepared", "stray_file"}
"""Notes on small data sets that say nothing about a fault; .DS_Store files belong to Aff-Wild2."""


@pytest.fixture(scope="module", autouse=True)
def drawn_once() -> Iterator[None]:
    """Draws a face that was drawn before from memory: all these data sets show the same few people."""
    drawn: dict[bytes, Any] = {}
    render = renderer.render

    def remember(*arguments: Any) -> Any:
        key = pickle.dumps(arguments)
        if key not in drawn:
            drawn[key] = render(*arguments)
        return copy.deepcopy(drawn[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(renderer, "render", remember)
        patch.setattr(film, "render", remember)
        yield


def expected(layout: str, fault: Injected) -> tuple[bool, str, Callable[[str, str], bool]]:
    """Whether it is a fault, its kind, and what must hold for its place and its sentence."""
    kind, path = fault.kind, fault.path
    wrong, found = kind not in NOTES, KINDS.get(kind, kind)
    stem = Path(path).stem
    if kind == "sentinels" and layout == "csv":
        return True, "label_out_of_range", lambda where, text: where == LISTS["csv"] and "The same goes for" in text
    if layout.startswith("affectnet") and kind in ("sentinels", "label_out_of_range", "negative_box"):
        place = LISTS.get(layout, path.rpartition("_")[0])
        one = re.compile(r"Left out, .+: 1\.")
        return False, "left_out", lambda where, text: where.startswith(place) and one.fullmatch(text) is not None
    if layout in LISTS and kind in ("label_out_of_range", "bad_label", "bad_landmarks"):
        return wrong, found, lambda where, text: where.endswith(LISTS[layout]) and text.startswith("Line ")
    if kind == "overlap" and layout in ("affectnet_2021", "raf_db"):
        found = "duplicate_across_splits"
    elif kind == "overlap" and layout in ("affectnet_2017", "csv"):
        found = "overlap_image"
    elif kind == "duplicate_image" and layout in ("aff_wild2", "afew_va"):
        wrong = False  # a film may stand still
    elif kind in ("no_face", "sentinels"):  # videos; one finding for all
        return False, kind, lambda where, text: stem in text
    elif kind in ("label_rows", "missing_video", "missing_annotation"):
        return wrong, found, lambda where, text: stem in (Path(where).stem, Path(where).name)
    elif kind == "overlap" and layout == "afew_va":
        path += f"/{stem}.json"
    return wrong, found, lambda where, text: where == path


def checked(root: Path, layout: str) -> CheckUp:
    dataset = LAYOUTS[layout].dataset
    return check(open_dataset(dataset, root, [f"cache_dir={root.parent / 'cache'}"]), dataset)


def listed(made: CheckUp) -> list[tuple[bool, str, str, str]]:
    return [(f["fault"], f["kind"], f["where"], f["detail"]) for f in made.record["findings"] if f["kind"] not in MAY]


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], CheckUp]:
    """The check-up of a layout without faults, made once."""
    made: dict[str, CheckUp] = {}

    def get(layout: str) -> CheckUp:
        if layout not in made:
            root = tmp_path_factory.mktemp(layout) / "data"
            assert write_layout(layout, root, **SMALL[layout]) == []
            made[layout] = checked(root, layout)
        return made[layout]

    return get


@pytest.mark.parametrize("layout", LAYOUTS)
def test_where_there_is_no_fault_none_is_found(layout: str, clean: Callable[[str], CheckUp]) -> None:
    made = clean(layout)
    assert made.record["clean"]
    kinds = {kind for _, kind, _, _ in listed(made)}
    assert kinds == ({"label_rows", "left_out"} if layout == "aff_wild2" else set())
    assert bool(made.samples) == (layout != "aff_wild"), "no pictures before avce data prepare"
    assert bool(made.record["protocol"]["split_hash"]) == (layout != "aff_wild")


@pytest.mark.parametrize(("layout", "name"), [(layout, name) for layout in LAYOUTS for name in LAYOUTS[layout].faults])
def test_a_fault_is_found_and_nothing_else(
    layout: str, name: str, clean: Callable[[str], CheckUp], tmp_path: Path
) -> None:
    injected = write_layout(layout, tmp_path / "data", name, **SMALL[layout])
    record = checked(tmp_path / "data", layout).record
    found = [finding for finding in listed_record(record) if finding not in listed(clean(layout))]
    for fault in injected:
        wrong, kind, is_there = expected(layout, fault)
        assert any(f[:2] == (wrong, kind) and is_there(*f[2:]) for f in found), (fault, found)
        assert record["clean"] != wrong
    kinds = {kind for _, kind, _, _ in found} - {kind for _, kind, _ in (expected(layout, f) for f in injected)}
    assert kinds <= ALSO.get(name, {"left_out"}), found


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_macos_leaves_behind_is_no_fault(layout: str, clean: Callable[[str], CheckUp], tmp_path: Path) -> None:
    write_layout(layout, tmp_path / "data", **SMALL[layout])
    for path in [path for path in (tmp_path / "data").rglob("*") if path.is_file() and not path.name.startswith(".")]:
        for copy_of in (path, tmp_path / "data" / "__MACOSX" / path.relative_to(tmp_path / "data")):
            copy_of.parent.mkdir(parents=True, exist_ok=True)
            copy_of.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
    assert listed(checked(tmp_path / "data", layout)) == listed(clean(layout))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_faults_are_found_at_once(layout: str, tmp_path: Path) -> None:
    injected = write_layout(layout, tmp_path / "data", "all", **{**SMALL[layout], "train": ROOM.get(layout, 13)})
    found = listed(checked(tmp_path / "data", layout))
    for fault in injected:
        wrong, kind, is_there = expected(layout, fault)
        assert any(f[:2] == (wrong, kind) and is_there(*f[2:]) for f in found), (fault, found)


def listed_record(record: dict[str, Any]) -> list[tuple[bool, str, str, str]]:
    return listed(CheckUp(record, []))
