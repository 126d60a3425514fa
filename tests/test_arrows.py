"""The floors of the architecture, read from the imports: an arrow may not climb, and rooms form no cycle."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "avce_pl"
MODULES = sorted(PACKAGE.rglob("*.py"))
FLOORS = (
    ("errors", "utils", "functional", "optimizer"),
    (
        *("backbone", "crl_formula", "mining", "similarity", "feature_transform", "metrics"),
        *("image", "synthesis"),
    ),
    ("method", "dataset", "face", "runs"),
    ("config", "prepare", "report"),
    ("training",),
    ("inference", "explain"),
    ("predict",),
    ("cli",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS, start=1) for room in rooms}
COMPONENTS = ("backbone", "crl_formula", "feature_transform", "mining", "optimizer", "similarity", "metrics")
LOOSE = {"__init__.py", "__main__.py", "errors.py"}
HYDRA, WANDB = {"hydra", "omegaconf"}, {"wandb", "wandb_workspaces"}
TORCH = {"torch", "torchvision", "torchmetrics", "pytorch_lightning"}


def imports(file: Path) -> set[str]:
    """The full names that a module imports, at its top or inside a function."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: absolute imports only"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def arrows(file: Path) -> set[str]:
    """The rooms that a module imports from."""
    return {name.split(".")[1] for name in imports(file) if name.startswith("avce_pl.")} - {room(file)}


def libraries(file: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(file)}


def test_no_file_is_loose() -> None:
    assert {file.name for file in PACKAGE.glob("*.py")} == LOOSE
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms == set(FLOOR) - {"errors"}


def test_rooms_form_no_cycle() -> None:
    graph: dict[str, set[str]] = {}
    for file in MODULES:
        if file.name not in LOOSE or file.parent != PACKAGE:
            graph.setdefault(room(file), set()).update(arrows(file))
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a cycle of rooms: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("file", MODULES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_arrows(file: Path) -> None:
    here, used, parts = room(file), libraries(file), arrows(file)
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
