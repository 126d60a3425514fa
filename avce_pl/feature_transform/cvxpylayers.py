"""The reference feature transform: both problems solved and differentiated by the cvxpylayers package."""

# cvxpy and cvxpylayers are typed in part only.
# mypy: disable-error-code="attr-defined, no-untyped-call"

import importlib
import logging
import warnings
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from torch.func import vmap

from avce_pl.errors import AvceError
from avce_pl.feature_transform.cvxpy_to_torch import TorchFunction, torch_function
from avce_pl.feature_transform.opt_layer import OptLayer
from avce_pl.feature_transform.solvers import check_finite, solver_options

if TYPE_CHECKING:
    import cvxpy
    from cvxpylayers.torch import CvxpyLayer

log = logging.getLogger(__name__)

_ALLOWED = ("avce_pl.", "experiments.")

# How far a row may be outside its constraints, in units of 1 + its largest entry.
_INEXACT, _NO_SOLUTION = 1e-5, 1e-2


class _Layer(NamedTuple):
    layer: "CvxpyLayer"
    has_entropy: bool
    twin: OptLayer | None
    inequalities: list[TorchFunction]
    equalities: list[TorchFunction]

    def violation(self, latent: Tensor, solution: Tensor) -> Tensor:
        """How far each solution is outside its constraints, ``(N,)``."""
        outside = [vmap(lambda z, x, g=g: g([z, x]).relu().max())(latent, solution) for g in self.inequalities]
        outside += [vmap(lambda z, x, h=h: h([z, x]).abs().max())(latent, solution) for h in self.equalities]
        return torch.stack([torch.zeros(len(latent)), *outside]).amax(0) / (1 + solution.abs().amax(1))


@lru_cache(maxsize=8)
def _layer(path: str, size: int) -> _Layer:
    """The layer that ``path`` names for latents of ``size`` entries."""
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
    layer = CvxpyLayer(problem, parameters=[parameter], variables=[variable])
    has_entropy = cp.entr in problem.atoms()
    found = _Layer(layer, has_entropy, _twin(problem, parameter, variable) if has_entropy else None, [], [])
    for constraint in problem.constraints:
        sides = {cp.constraints.Inequality: found.inequalities, cp.constraints.Equality: found.equalities}
        if type(constraint) not in sides or {leaf.id for leaf in constraint.variables()} != {variable.id}:
            continue  # the layer does not tell the values of other variables
        with suppress(AvceError):  # an atom without a translation; the solver's own verdict remains
            sides[type(constraint)].append(torch_function(constraint.expr, [parameter, variable]))
    return found


def _twin(problem: "cvxpy.Problem", parameter: "cvxpy.Parameter", variable: "cvxpy.Variable") -> OptLayer | None:
    """The same problem for OptLayer; none if it has other variables, cones or an atom that OptLayer does not know."""
    import cvxpy as cp

    objective = problem.objective.args[0] * (1 if isinstance(problem.objective, cp.Minimize) else -1)
    terms: dict[type, list[cvxpy.Expression]] = {cp.constraints.Inequality: [], cp.constraints.Equality: []}
    for constraint in problem.constraints:
        if type(constraint) not in terms:
            return None
        terms[type(constraint)].append(constraint.expr)
    g, h = ([lambda *_, term=term: term for term in found] for found in terms.values())
    with suppress(AvceError):
        return OptLayer([variable], [parameter], lambda *_: objective, g, h)
    return None


class CvxpyLayers:
    """Solves Eqs. (1) and (2) of the supplement, or any two convex problems, and differentiates the solutions.

    Slow: 256 latents of 32 entries take seconds. The solver works in float64 on the CPU; results come back
    in the dtype and on the device of the latent, on the simplex up to the tolerance.

    A row that the solver could not solve to the tolerance, or that is outside its constraints by more than 1e-5, is
    used as it is and counted in ``inexact_rows``; the log says so once. Where diffcp is known to get the gradient
    wrong (entropies of entries below 1e-6), ``OptLayer`` solves and differentiates the row instead; if it cannot, the
    row has no gradient. The log says once which of the two.

    Args:
        sparse_problem: ``package.module:function``, where ``function(d)`` returns a cvxpy problem with its parameter
            and its variable, both of shape ``(d,)``. See ``problems.py``.
        soft_problem: The same for the second output.
        solver: Conic solver, one of those that diffcp knows. CLARABEL leaves SparseMax 1e-4 off at a tolerance of
            1e-8; ECOS has to be installed.
        tolerance: Accuracy required of the solver.
    """

    def __init__(
        self,
        sparse_problem: str,
        soft_problem: str,
        solver: Literal["CLARABEL", "SCS", "ECOS"] = "SCS",
        tolerance: Annotated[float, Field(gt=0)] = 1e-8,
    ) -> None:
        self.sparse_problem = sparse_problem
        self.soft_problem = soft_problem
        self.solver = solver
        self.tolerance = tolerance
        self.inexact_rows = 0
        self._said: set[tuple[str, str]] = set()

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

        found = _layer(path, latent.shape[1])
        differentiate = latent.requires_grad and torch.is_grad_enabled()
        options = solver_options(self.solver, self.tolerance)
        options["solve_method"] = {"CLARABEL": "Clarabel"}.get(self.solver, self.solver)
        if self.solver == "SCS":
            options["max_iters"] = 10_000  # a few milliseconds a row: a hopeless row must not take the rest's time
        if differentiate:
            options["mode"] = "lsmr"  # the default, LSQR, loses two digits
        values = latent.cpu().double()
        try:
            with torch.autocast(latent.device.type, enabled=False), warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")  # diffcp warns once for each row
                (solution,) = found.layer(values, solver_args=options)
        except SolverError as error:
            raise AvceError(self._no_solution(path, len(latent), str(error))) from error
        with torch.no_grad():
            violation = found.violation(values, solution)
        if not (violation <= _NO_SOLUTION).all():  # written so that NaN counts, too
            raise AvceError(self._no_solution(path, len(latent), "its result is outside the constraints"))
        unsolved = sum("Solved/Inaccurate" in str(warning.message) for warning in said)
        inexact = max(unsolved, int((violation > _INEXACT).sum()))
        self.inexact_rows += inexact
        if inexact:
            self._say_once(
                path,
                "are inexact",
                f"{inexact} of {len(latent)} rows of '{path}' are inexact: {self.solver} did not solve them to the "
                f"tolerance {self.tolerance:g}. Training continues with them, and this warning is not repeated. "
                "Write the problem so that large latents do not enter it as squares, or try another solver.",
            )
        if found.has_entropy and (tiny := (solution < 1e-6).any(1)).any():
            solution = solution.index_put((tiny,), self._solve_tiny(path, found.twin, values, solution, tiny))
        result: Tensor = solution.to(latent)
        return result

    def _solve_tiny(self, path: str, twin: OptLayer | None, values: Tensor, solution: Tensor, tiny: Tensor) -> Tensor:
        reason = (
            f"diffcp's derivative of the exponential cone breaks down at entries below 1e-6 (latents that spread over "
            f"more than 12 or so), which {int(tiny.sum())} of {len(tiny)} rows of '{path}' have: they "
        )
        with suppress(AvceError):
            if twin is not None:
                (result,) = twin.solve(values[tiny]).variables
                self._say_once(path, "OptLayer", reason + "are solved by OptLayer. This is not said again.")
                return result
        self._say_once(
            path,
            "no gradient",
            reason + "get no gradient. This is not said again; feature_transform=closed_form has it.",
        )
        return solution[tiny].detach()

    def _no_solution(self, path: str, rows: int, reason: str) -> str:
        return (
            f"{self.solver} found no solution of '{path}' for a batch of {rows} latents ({reason}); check that the "
            "problem is feasible and bounded, or try another solver."
        )

    def _say_once(self, path: str, what: str, text: str) -> None:
        if (path, what) not in self._said:
            self._said.add((path, what))
            log.warning(text)
