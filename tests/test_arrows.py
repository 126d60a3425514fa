"""Which way the arrows of the architecture run, read from the imports."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "avce_pl"
MODULES = sorted(PACKAGE.rglob("*.py"))
COMPONENTS = ("backbone", "crl_formula", "feature_transform", "mining", "optimizer", "similarity", "metrics")
MODELS = ("backbone", "crl_formula", "feature_transform", "mining", "similarity", "method", "optimizer")
SHARED = ("errors", "functional", "utils")


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


def places(file: Path) -> set[str]:
    """The parts of this package that a module imports, such as ``functional``."""
    parts = {name.split(".")[1] for name in imports(file) if name.startswith("avce_pl.")}
    return parts - {folder(file)}


def folder(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def libraries(file: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(file)}


@pytest.mark.parametrize("file", MODULES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_arrows(file: Path) -> None:
    here, used, parts = folder(file), libraries(file), places(file)
    if here == "functional":
        third_party = used - {"avce_pl", "torch", "math", "typing", "collections", "dataclasses"}
        assert not third_party, "functional imports torch only"
        assert parts <= {"errors"}
    if here in COMPONENTS:
        assert parts <= set(SHARED), "component folders do not import each other"
    if here in ("dataset", "synthesis", "face"):
        assert not parts & set(MODELS), "data knows no model"
    if here == "synthesis":
        assert not used & {"torch", "pytorch_lightning"}
    if here == "report":
        assert not used & {"torch", "pytorch_lightning", "torchmetrics", "torchvision"}
        assert parts <= {"errors", "utils"}
    if here not in ("experiment", "sweep"):
        assert not used & {"hydra", "omegaconf"}
    if here not in ("tracking", "dashboard"):
        assert not used & {"wandb", "wandb_workspaces"}
    if here != "feature_transform":
        assert not used & {"cvxpy", "cvxpylayers"}
    assert "lightning" not in used, "one spelling: pytorch_lightning"


def test_heavy_solvers_are_imported_lazily() -> None:
    for file in (PACKAGE / "feature_transform").glob("*.py"):
        top = {
            alias.name.split(".")[0]
            for node in ast.parse(file.read_text()).body
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        assert not top & {"cvxpy", "cvxpylayers"}, file
