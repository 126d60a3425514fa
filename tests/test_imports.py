"""What an import brings along: seconds for whoever wants a model or a page only."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import avce_pl", {"numpy", "torch", "pandas", "hydra"}),
        ("from avce_pl import load", {"torch", "pandas", "hydra", "matplotlib", "pytorch_lightning"}),
        ("import avce_pl.cli.main", {"torch", "numpy", "pandas", "hydra"}),
        ("from avce_pl.functional import ccc_loss", {"pytorch_lightning", "torchvision", "pydantic", "cvxpy"}),
        (
            "from avce_pl.feature_transform import OptLayer",
            {"pytorch_lightning", "torchvision", "cvxpy", "cvxpylayers"},
        ),
        ("from avce_pl.metrics import ValenceArousalMetrics", {"pytorch_lightning", "pandas", "hydra"}),
        ("from avce_pl.runs.folder import open_run", {"torch", "pandas", "hydra"}),
        ("from avce_pl.training.build import load_run", {"hydra", "omegaconf", "wandb", "avce_pl.report"}),
        ("from avce_pl.training.experiment import run_experiment", {"hydra", "omegaconf", "wandb"}),
    ],
)
def test_an_import_brings_only_what_it_needs(statement: str, absent: set[str]) -> None:
    command = f"{statement}; import sys; print(*sys.modules)"
    modules = set(subprocess.run([sys.executable, "-c", command], capture_output=True, text=True).stdout.split())
    assert "avce_pl" in modules
    assert not modules & absent
