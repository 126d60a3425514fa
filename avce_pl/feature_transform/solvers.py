"""Shared by the numerical feature transforms: solver settings and the check of the input."""

# cvxpy and cvxpylayers are typed in part only.
# mypy: disable-error-code="attr-defined, no-untyped-call"

from typing import Any

from torch import Tensor

from avce_pl.errors import AvceError


def solver_options(solver: str, tolerance: float) -> dict[str, Any]:
    """The solver's own names for ``tolerance`` (absolute, relative and feasibility alike); none for a rarer solver.

    Raises:
        AvceError: If the solver is not installed. ECOS, which the paper used, is GPLv3 and so not a dependency.
    """
    import cvxpy as cp

    if solver.upper() not in (installed := cp.installed_solvers()):
        raise AvceError(
            f"The solver {solver} is not installed; choose one of {', '.join(installed)}, or install it with "
            f"`pip install {solver.lower()}`."
        )
    return {
        "CLARABEL": {"tol_gap_abs": tolerance, "tol_gap_rel": tolerance, "tol_feas": tolerance},
        "SCS": {"eps_abs": tolerance, "eps_rel": tolerance, "max_iters": 100_000},
        "ECOS": {"abstol": tolerance, "reltol": tolerance, "feastol": tolerance},
        "OSQP": {"eps_abs": tolerance, "eps_rel": tolerance, "max_iter": 100_000},
    }.get(solver.upper(), {})


def check_finite(values: Tensor, source: str) -> None:
    """Refuse rows of ``values``, shape ``(N, ...)``, that no solver can work on.

    Raises:
        AvceError: If a row has a NaN or infinite entry; the text names ``source``, the count and the first row.
    """
    broken = values.detach().reshape(len(values), -1).isfinite().all(1).logical_not().nonzero()
    if len(broken):
        raise AvceError(
            f"{source} got NaN or infinite values in {len(broken)} of {len(values)} rows (first: row "
            f"{int(broken[0])}); the networks before it have diverged, so lower their learning rate or check the data."
        )
