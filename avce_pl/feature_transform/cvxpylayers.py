"""The reference feature transform: both problems solved and differentiated by the cvxpylayers package."""

# cvxpy and cvxpylayers are typed in part only.
# mypy: disable-error-code="attr-defined, no-untyped-call"

import importlib
import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field
from torch import Tensor

from avce_pl.errors import AvceError
from avce_pl.feature_transform.solvers import Solver, check_finite, solver_options

if TYPE_CHECKING:
    from cvxpylayers.torch import CvxpyLayer

log = logging.getLogger(__name__)

_ALLOWED = ("avce_pl.", "experiments.")


@lru_cache(maxsize=8)
def _layer(path: str, size: int) -> "tuple[CvxpyLayer, bool]":
    """The layer that ``path`` names for latents of ``size`` entries, and whether it has entropies."""
    # The layers are kept here and not in the transform: a CvxpyLayer is a module with sparse buffers, which would
    # enter the state_dict and break deepcopy and DDP.
    import cvxpy as cp
    from cvxpylayers.torch import CvxpyLayer

    module, _, name = path.partition(":")
    if not module.startswith(_ALLOWED):
        raise AvceError(
            f"The problem '{path}' is not allowed: name it as package.module:function, "
            "with a module inside avce_pl or experiments."
        )
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise AvceError(f"The problem '{path}' cannot be imported: {error}.") from error
    if getattr(function, "__module__", None) != module:
        raise AvceError(f"The problem '{path}' is not a function defined in {module}.")
    problem, parameter, variable = function(size)
    if parameter.shape != (size,) or variable.shape != (size,):
        raise AvceError(
            f"The problem '{path}' must map a parameter of shape ({size},) to a variable of shape ({size},), "
            f"but they have the shapes {parameter.shape} and {variable.shape}."
        )
    if not problem.is_dpp():
        raise AvceError(
            f"The problem '{path}' is not convex by cvxpy's rules for parameters (DPP); rewrite it so that "
            "problem.is_dpp() is true."
        )
    return CvxpyLayer(problem, parameters=[parameter], variables=[variable]), cp.entr in problem.atoms()


@lru_cache
def _say_once(path: str) -> None:
    log.warning(
        "Rows of '%s' with an entry below 1e-6 get no gradient: diffcp's derivative of the exponential cone breaks "
        "down there (latents that spread over more than 12 or so). feature_transform=closed_form or opt_layer have it.",
        path,
    )


class CvxpyLayers:
    """Solves Eqs. (1) and (2) of the supplement, or any two convex problems, and differentiates the solutions.

    Slow: 256 latents of 32 entries take about a second. The solver works in float64 on the CPU; results come back
    in the dtype and on the device of the latent, on the simplex up to the tolerance. Where diffcp is known to get the
    gradient wrong (entropies of entries below 1e-6), a row has none, and the log says so once.

    Args:
        sparse_problem: ``package.module:function``, where ``function(d)`` returns a cvxpy problem with its parameter
            and its variable, both of shape ``(d,)``. See ``problems.py``.
        soft_problem: The same for the second output.
        solver: Conic solver. CLARABEL is faster but leaves SparseMax 2e-5 off; ECOS has to be installed.
        tolerance: Accuracy asked of the solver.
    """

    def __init__(
        self,
        sparse_problem: str,
        soft_problem: str,
        solver: Solver = "SCS",
        tolerance: Annotated[float, Field(gt=0)] = 1e-8,
    ) -> None:
        self.sparse_problem = sparse_problem
        self.soft_problem = soft_problem
        self.solver = solver
        self.tolerance = tolerance

    def __call__(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(sparse, soft)``, each ``(N, d)``.

        Raises:
            AvceError: If the latent has a NaN or infinite entry, if a problem cannot be imported or is not convex,
                or if the solver fails.
        """
        check_finite(latent, "feature_transform=cvxpylayers")
        return self._solve(self.sparse_problem, latent), self._solve(self.soft_problem, latent)

    def _solve(self, path: str, latent: Tensor) -> Tensor:
        from diffcp import SolverError

        layer, has_entropy = _layer(path, latent.shape[1])
        differentiate = latent.requires_grad and torch.is_grad_enabled()
        options = solver_options(self.solver, self.tolerance)
        options["solve_method"] = {"CLARABEL": "Clarabel"}.get(self.solver, self.solver)
        if differentiate:
            options["mode"] = "lsmr"  # the default, LSQR, loses two digits
        try:
            with torch.autocast(latent.device.type, enabled=False):
                (solution,) = layer(latent.cpu().double(), solver_args=options)
        except SolverError as error:
            raise AvceError(
                f"{self.solver} found no solution of '{path}' for a batch of {len(latent)} latents ({error}); "
                "check that the problem is feasible and bounded, or try another solver or tolerance."
            ) from error
        if has_entropy and differentiate and (wrong := (solution < 1e-6).any(1, keepdim=True)).any():
            _say_once(path)
            solution = torch.where(wrong, solution.detach(), solution)
        result: Tensor = solution.to(latent)
        return result
