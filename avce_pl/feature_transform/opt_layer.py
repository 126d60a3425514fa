"""The paper's own layer: a convex problem from five lists, differentiated through its KKT conditions.

``OptLayer`` has the signature of Listing 1.1 of the supplement, which reads with today's names:

    import cvxpy as cp
    from avce_pl.feature_transform.opt_layer import OptLayer

    # SparseMax
    z, x = cp.Variable(32), cp.Parameter(32)
    f = lambda z, x: cp.sum_squares(z - x)
    g = lambda z, x: -z
    h = lambda z, x: cp.sum(z) - 1
    sp = OptLayer([z], [x], f, [g], [h])

    # SoftMax
    w, y = cp.Variable(32), cp.Parameter(32)
    fs = lambda w, y: -w @ y - cp.sum(cp.entr(w))
    hs = lambda w, y: cp.sum(w) - 1
    sm = OptLayer([w], [y], fs, [], [hs])

    # Forward pass
    latent = compressor(encoder(image))
    sparse = sp(latent)
    soft = sm(latent)
"""

# cvxpy and cvxpylayers are typed in part only.
# mypy: disable-error-code="attr-defined, no-untyped-call"

import warnings
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.func import grad, jacrev, vjp, vmap

from avce_pl.errors import AvceError
from avce_pl.feature_transform.cvxpy_to_torch import torch_function
from avce_pl.feature_transform.solvers import Solver, check_finite, solver_options

if TYPE_CHECKING:
    import cvxpy

    Term = Callable[..., cvxpy.Expression]


# Rows that the solver gets as one separable problem: cvxpy takes ten times as long to pass a problem of 32 variables
# on as the solver takes to solve it.
_BLOCK = 16


class Solution(NamedTuple):
    """A batch of primal and dual solutions; each tensor is ``(N, *shape)`` of its variable or constraint."""

    variables: tuple[Tensor, ...]
    inequality_duals: tuple[Tensor, ...]
    equality_duals: tuple[Tensor, ...]


class _ImplicitFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, layer: "OptLayer", *parameters: Tensor) -> Tensor:
        point = layer._polish(layer._solve_rows(parameters), parameters)
        ctx.layer = layer
        ctx.save_for_backward(point, *parameters)
        return point

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_point: Tensor) -> tuple[Tensor | None, ...]:
        point, *parameters = ctx.saved_tensors
        return None, *ctx.layer._pull_back(point, parameters, grad_point)


class OptLayer:
    """Solves a parametrised convex problem for a batch and differentiates the solution (Eqs. (3)-(5), supplement).

    Minimises ``f(p, z)`` over ``p`` subject to ``g(p, z) ≤ 0`` and ``h(p, z) = 0``. A cvxpy solver takes a block of
    rows at a time; Newton steps on the KKT conditions ``G(p, λ, ν; z) = 0`` then take all rows from the solver's
    accuracy to float64's. The derivative of all rows takes one batched linear solve,
    ``∂(p, λ, ν)/∂z = −(∂G/∂(p, λ, ν))⁻¹ ∂G/∂z``. Everything is float64 on the CPU.

    Complementarity enters ``G`` as ``g_i = 0`` where ``λ_i > −g_i`` and as ``λ_i = 0`` elsewhere, instead of
    ``λ_i g_i = 0`` as in Eq. (4). Both have the same solutions, but this form stays well conditioned where ``λ_i``
    and ``g_i`` vanish together; there it gives a one-sided derivative. Where ``G`` is singular nonetheless (linearly
    dependent active constraints, say), the least-squares solution of smallest norm is taken.

    Args:
        variables: The cvxpy variables, without attributes such as ``nonneg=True``.
        parameters: The cvxpy parameters.
        objective: ``f``, called as ``f(*variables, *parameters)``; a scalar. Any twice differentiable convex cvxpy
            expression will do, here and in the constraints.
        inequalities: The ``g``, called in the same way, each of any shape.
        equalities: The ``h``, called in the same way, each of any shape.
        solver: The cvxpy solver.
        tolerance: Accuracy asked of the solver.

    Raises:
        AvceError: If the problem is not convex, uses an atom that is not twice differentiable, or the solver is not
            installed.
    """

    def __init__(
        self,
        variables: Sequence["cvxpy.Variable"],
        parameters: Sequence["cvxpy.Parameter"],
        objective: "Term",
        inequalities: Sequence["Term"],
        equalities: Sequence["Term"],
        solver: Solver = "CLARABEL",
        tolerance: float = 1e-8,
    ) -> None:
        self._variables, self._parameters = variables, parameters
        self._given = objective, inequalities, equalities, solver, solver_options(solver, tolerance)
        self._row = _Problem([variables], [parameters], *self._given)
        ((f, g, h),) = self._row.terms
        problem = self._row.problem
        if not problem.is_dcp() or problem.is_mixed_integer():
            raise AvceError(
                "The problem of OptLayer is not convex by cvxpy's rules (objective and inequalities convex, "
                f"equalities affine in the variables):\n{problem}"
            )
        if any(value not in (None, False) for variable in variables for value in variable.attributes.values()):
            raise AvceError(
                "A variable of OptLayer has an attribute such as nonneg=True; "
                "write it as an inequality instead, so that it takes part in the derivative."
            )
        leaves = [*variables, *parameters]
        self._f = torch_function(f, leaves)
        self._constraints = [torch_function(term, leaves) for term in [*g, *h]]
        self._shapes = [term.shape for term in [*variables, *g, *h]]
        self._sizes = [term.size for term in [*variables, *g, *h]]
        n, m = sum(term.size for term in variables), sum(term.size for term in g)
        self._is_inequality = torch.zeros(sum(self._sizes), dtype=torch.bool)
        self._is_inequality[n : n + m] = True

    def __call__(self, *parameters: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return the optimal variable, or a tuple of them if there are several; see ``solve``."""
        variables = self.solve(*parameters).variables
        return variables[0] if len(variables) == 1 else variables

    def solve(self, *parameters: Tensor) -> Solution:
        """Solve the problem for every row of a batch; primal and dual solutions are differentiable.

        Args:
            *parameters: One floating-point tensor ``(N, *shape)`` for each parameter of shape ``shape``.

        Returns:
            The solutions, in the dtype and on the device of the first parameter. Duals of inequalities are ``≥ 0``.

        Raises:
            ValueError: If the tensors do not fit the parameters, or have no rows.
            AvceError: If a parameter is not finite, or if the problem of a row is infeasible, unbounded or cannot
                be solved to the tolerance; the text names the row.
        """
        rows = len(parameters[0]) if parameters else 0
        expected = [(rows, *parameter.shape) for parameter in self._parameters]
        if [tuple(parameter.shape) for parameter in parameters] != expected:
            raise ValueError(
                f"OptLayer expects tensors of the shapes {expected} (a row for each problem first) "
                f"but got {[tuple(parameter.shape) for parameter in parameters]}."
            )
        if not rows:
            raise ValueError("OptLayer got a batch without rows; it needs one row or more.")
        for parameter in parameters:
            check_finite(parameter, "OptLayer")
        point = _ImplicitFunction.apply(self, *(parameter.cpu().double() for parameter in parameters))
        parts = self._split(point.to(parameters[0]))
        n, m = len(self._variables), len(self._row.terms[0][1])
        return Solution(tuple(parts[:n]), tuple(parts[n : n + m]), tuple(parts[n + m :]))

    def _split(self, point: Tensor) -> list[Tensor]:
        parts = point.split(self._sizes, -1)
        return [part.reshape((*part.shape[:-1], *shape)) for part, shape in zip(parts, self._shapes, strict=True)]

    @cached_property
    def _block(self) -> "_Problem":
        """The problem of a block of rows, with copies of the variables and parameters for each."""
        import cvxpy as cp

        def copy(leaf: "cvxpy.Parameter") -> "cvxpy.Parameter":
            given: dict[str, Any] = {name: value for name, value in leaf.attributes.items() if value}
            return cp.Parameter(leaf.shape, **given)

        variables = [[cp.Variable(leaf.shape) for leaf in self._variables] for _ in range(_BLOCK)]
        parameters = [[copy(leaf) for leaf in self._parameters] for _ in range(_BLOCK)]
        return _Problem(variables, parameters, *self._given)

    def _solve_rows(self, parameters: Sequence[Tensor]) -> Tensor:
        values = [parameter.numpy() for parameter in parameters]
        points = np.empty((len(values[0]), sum(self._sizes)))
        with warnings.catch_warnings():
            # An inaccurate solution is an error below.
            warnings.filterwarnings("ignore", "Solution may be inaccurate", UserWarning)
            for start in range(0, len(points), _BLOCK):
                rows = slice(start, start + _BLOCK)
                if not self._solve_block(points[rows], [value[rows] for value in values]):
                    for row in range(start, min(start + _BLOCK, len(points))):
                        points[row] = self._solve_row(row, [value[row : row + 1] for value in values])
        return torch.from_numpy(points)

    def _solve_block(self, points: NDArray[np.float64], values: Sequence[NDArray[np.float64]]) -> bool:
        """Fills in the solutions of a whole block; ``False`` where its rows have to be solved one by one."""
        import cvxpy as cp

        if len(points) < _BLOCK or not self._block.separable:
            return False
        try:
            status = self._block.solve(values)
        except (cp.error.SolverError, ValueError):
            return False
        if status != cp.OPTIMAL:  # one bad row is enough; alone it has a name
            return False
        points[:] = self._block.solution()
        return True

    def _solve_row(self, row: int, values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        import cvxpy as cp

        try:
            status = self._row.solve(values)
        except (cp.error.SolverError, ValueError) as error:
            raise AvceError(f"OptLayer could not solve the problem of row {row}: {error}") from error
        if status != cp.OPTIMAL:
            raise AvceError(
                f"The problem of row {row} in OptLayer is {status.replace('_', ' ')}; check its "
                "constraints and that row's parameters, or try another solver or tolerance."
            )
        return self._row.solution()

    def _lagrangian(self, point: Tensor, *parameters: Tensor) -> Tensor:
        parts = self._split(point)
        n = len(self._variables)
        values = [*parts[:n], *parameters]
        total = self._f(values)
        for dual, constraint in zip(parts[n:], self._constraints, strict=True):
            total = total + (dual * constraint(values)).sum()
        return total

    def _row_conditions(self, point: Tensor, in_force: Tensor, *parameters: Tensor) -> Tensor:
        # The gradient of the Lagrangian in (p, λ, ν) is (stationarity, g, h): all of G but for the complementarity.
        return torch.where(in_force, grad(self._lagrangian)(point, *parameters), point)

    def _conditions(self, point: Tensor, parameters: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """``G`` for all rows, and the mask of its entries that come from the Lagrangian."""
        slope = vmap(grad(self._lagrangian))(point, *parameters)
        in_force = ~self._is_inequality | (point > -slope)
        return torch.where(in_force, slope, point), in_force

    def _polish(self, point: Tensor, parameters: Sequence[Tensor]) -> Tensor:
        """Take Newton steps on ``G``, in the rows where they help; the active set is chosen anew each time."""
        conditions, in_force = self._conditions(point, parameters)
        for _ in range(2):
            jacobian = vmap(jacrev(self._row_conditions))(point, in_force, *parameters)
            new_point = point - _solve_linear(jacobian, conditions)
            new_conditions, new_in_force = self._conditions(new_point, parameters)
            better = new_conditions.norm(dim=1, keepdim=True) < conditions.norm(dim=1, keepdim=True)
            point = torch.where(better, new_point, point)
            conditions = torch.where(better, new_conditions, conditions)
            in_force = torch.where(better, new_in_force, in_force)
        return point

    def _pull_back(self, point: Tensor, parameters: Sequence[Tensor], grad_point: Tensor) -> tuple[Tensor, ...]:
        _, in_force = self._conditions(point, parameters)
        jacobian = vmap(jacrev(self._row_conditions))(point, in_force, *parameters)
        broken = jacobian.flatten(1).isfinite().all(1).logical_not().nonzero()
        if len(broken):
            raise AvceError(
                f"The problem of row {int(broken[0])} in OptLayer is not twice differentiable at its solution, "
                "so its derivative is not defined; change the problem or use feature_transform=cvxpylayers."
            )
        adjoint = _solve_linear(jacobian.mT, -grad_point)
        pull = vjp(lambda *z: vmap(self._row_conditions)(point, in_force, *z), *parameters)[1]
        pulled: tuple[Tensor, ...] = pull(adjoint)
        return pulled


def _solve_linear(matrix: Tensor, right: Tensor) -> Tensor:
    """Solve ``matrix @ x = right`` for a batch, by least squares where the matrix is singular."""
    solution: Tensor = torch.linalg.solve_ex(matrix, right).result
    # Growth beyond 1 / sqrt(float64 precision) is division by rounding errors. Written so that NaN counts, too.
    singular = ~(solution.abs().amax(1) <= 1e8 * right.abs().amax(1))
    if singular.any():
        finite = matrix[singular].nan_to_num(0, 0, 0)
        least_squares = torch.linalg.lstsq(finite, right[singular].unsqueeze(-1), driver="gelsd")
        solution[singular] = least_squares.solution.squeeze(-1)
    return solution


class _Problem:
    """The sum of the problems of some rows, each with variables and parameters of its own."""

    def __init__(
        self,
        variables: Sequence[Sequence["cvxpy.Variable"]],
        parameters: Sequence[Sequence["cvxpy.Parameter"]],
        objective: "Term",
        inequalities: Sequence["Term"],
        equalities: Sequence["Term"],
        solver: Solver,
        options: dict[str, Any],
    ) -> None:
        import cvxpy as cp

        self.variables, self.parameters = variables, parameters
        self.solver, self.options = solver, options
        self.terms = [
            (objective(*own), [term(*own) for term in inequalities], [term(*own) for term in equalities])
            for own in ([*row, *given] for row, given in zip(variables, parameters, strict=True))
        ]
        self.constraints = [[*(term <= 0 for term in g), *(term == 0 for term in h)] for _, g, h in self.terms]
        total = cp.Minimize(sum(f for f, _, _ in self.terms))
        self.problem = cp.Problem(total, [constraint for own in self.constraints for constraint in own])
        known = {leaf.id for own in [*variables, *parameters] for leaf in own}
        # A term that names a variable of its surroundings instead of its argument ties rows together.
        self.separable = {leaf.id for leaf in [*self.problem.variables(), *self.problem.parameters()]} <= known

    def solve(self, values: Sequence[NDArray[np.float64]]) -> str:
        """Solves for the parameters' values, each (rows, *shape); the status."""
        for row, own in enumerate(self.parameters):
            for parameter, value in zip(own, values, strict=True):
                parameter.value = value[row]
        self.problem.solve(solver=self.solver, **self.options)
        status: str = self.problem.status
        return status

    def solution(self) -> NDArray[np.float64]:
        """Variables and multipliers of all rows, (rows, entries)."""
        rows = zip(self.variables, self.constraints, strict=True)
        values = [[*(leaf.value for leaf in own), *(term.dual_value for term in terms)] for own, terms in rows]
        return np.array([np.concatenate([np.ravel(value) for value in row]) for row in values])


@lru_cache(maxsize=8)
def _paper_layers(size: int, solver: Solver, tolerance: float) -> tuple[OptLayer, OptLayer]:
    import cvxpy as cp

    z, x = cp.Variable(size), cp.Parameter(size)
    settings: dict[str, Any] = {"solver": solver, "tolerance": tolerance}
    sparse = OptLayer(
        [z], [x], lambda z, x: cp.sum_squares(z - x), [lambda z, x: -z], [lambda z, x: cp.sum(z) - 1], **settings
    )
    soft = OptLayer([z], [x], lambda z, x: -z @ x - cp.sum(cp.entr(z)), [], [lambda z, x: cp.sum(z) - 1], **settings)
    return sparse, soft


class OptLayerTransform:
    """Feature transform by two ``OptLayer``, as in Listing 1.1 of the supplement.

    Slow: 256 latents of 32 entries take seconds. Meant for studying the paper's own route.

    Args:
        solver: The cvxpy solver; ECOS, the paper's, has to be installed.
        tolerance: Accuracy asked of the solver.
    """

    def __init__(self, solver: Solver = "CLARABEL", tolerance: Annotated[float, Field(gt=0)] = 1e-8) -> None:
        self.solver = solver
        self.tolerance = tolerance

    def __call__(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(sparse, soft)``, each ``(N, d)``; errors as in ``OptLayer.solve``."""
        sparse, soft = _paper_layers(latent.shape[1], self.solver, self.tolerance)
        return sparse.solve(latent).variables[0], soft.solve(latent).variables[0]
