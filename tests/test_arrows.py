"""The floors of the architecture, read from the imports: an arrow may not climb, and rooms form no cycle."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from docs.architecture import DRAWING, FLOORS, PACKAGE, arrows_of, draw, imports, read_arrows, room

MODULES = sorted(PACKAGE.rglob("*.py"))
FLOOR = {room: number for number, rooms in enumerate(FLOORS, start=1) for room in rooms}
COMPONENTS = ("backbone", "crl_formula", "feature_transform", "mining", "optimizer", "similarity", "metrics")
LOOSE = {"__init__.py", "__main__.py", "errors.py"}
HYDRA, WANDB = {"hydra", "omegaconf"}, {"wandb", "wandb_workspaces"}
TORCH = {"torch", "torchvision", "torchmetrics", "pytorch_lightning"}


def libraries(file: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(file)}


def test_no_file_is_loose() -> None:
    assert {file.name for file in PACKAGE.glob("*.py")} == LOOSE
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms == set(FLOOR) - {"errors"}


def test_the_page_shows_what_the_imports_say() -> None:
    assert DRAWING.read_text(encoding="utf-8") == draw(), "run python docs/architecture.py"
    page = DRAWING.with_suffix(".md").read_text(encoding="utf-8")
    rows = {
        int(cells[1]): cells[2]
        for line in page.splitlines()
        if len(cells := line.split("|")) > 3 and cells[1].strip().isdigit()
    }
    assert {n: set(re.findall(r"`(\w+)`", rooms)) for n, rooms in rows.items()} == {
        number: set(rooms) for number, rooms in enumerate(FLOORS, start=1)
    }


def test_rooms_form_no_cycle() -> None:
    graph = read_arrows()
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a cycle of rooms: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("file", MODULES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_arrows(file: Path) -> None:
    here, used, parts = room(file), libraries(file), arrows_of(file)
    floor = FLOOR.get(here, len(FLOORS) + 1)  # the package's own __init__ and __main__ are above all
    climbing = {other for other in parts if FLOOR[other] > floor}
    assert not climbing, f"floor {floor} imports from above"
    if here == "functional":
        third_party = used - {"avce_pl", "torch", "math", "typing", "collections", "dataclasses"}
        assert not third_party, "functional imports torch only"
    if here in COMPONENTS:
        foreign = {
            name for name in imports(file) if name.startswith(tuple(f"avce_pl.{other}." for other in COMPONENTS))
        }
        foreign = {name for name in foreign if name.split(".")[1] != here and name.split(".")[2] != "protocol"}
        assert not foreign, "components import nothing of each other but protocols"
    if here in ("synthesis", "runs", "report"):
        assert not used & TORCH, f"{here} works without torch"
    if here == "config":
        assert "report" not in parts
    if here != "training":
        assert not used & HYDRA, "Hydra composes a training, nothing else"
    if here != "training" and file.name != "dashboard.py":
        assert not used & WANDB, "W&B belongs to training and to the dashboard"
    if floor < FLOOR["training"]:
        assert "pytorch_lightning.Trainer" not in imports(file)
    if here != "feature_transform":
        assert not used & {"cvxpy", "cvxpylayers"}
    assert "lightning" not in used, "one spelling: pytorch_lightning"
    relative = [
        node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not relative, "absolute imports only"


@pytest.mark.parametrize("file", MODULES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_every_system_can_import_it(file: Path) -> None:
    posix = {"fcntl", "pwd", "grp", "resource", "termios"}
    tree = ast.parse(file.read_text())
    assert not libraries(file) & posix, "Windows has no such module"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) not in {("os", "fork"), ("os", "getuid"), ("signal", "SIGKILL")}
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert not node.value.startswith("/tmp"), "use tempfile"


def test_heavy_solvers_are_imported_lazily() -> None:
    for file in (PACKAGE / "feature_transform").glob("*.py"):
        top = {
            alias.name.split(".")[0]
            for node in ast.parse(file.read_text()).body
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        assert not top & {"cvxpy", "cvxpylayers"}, file


def test_tests_share_nothing_but_their_support() -> None:
    for file in Path(__file__).parent.rglob("test_*.py"):
        shared = {name for name in imports(file) if name.startswith("tests.")}
        assert all(name.startswith("tests.support.") for name in shared), f"{file.name}: move it to tests/support"
