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

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from avce_pl.feature_transform.kkt import KKT
from avce_pl.feature_transform.row_solver import RowSolver
from avce_pl.feature_transform.solvers import check_finite, solver_options
from avce_pl.feature_transform.statement import build_statement

if TYPE_CHECKING:
    import cvxpy

    from avce_pl.feature_transform.statement import Term


class Solution(NamedTuple):
    """A batch of primal and dual solutions; each tensor is ``(N, *shape)`` of its variable or constraint."""

    variables: tuple[Tensor, ...]
    inequality_duals: tuple[Tensor, ...]
    equality_duals: tuple[Tensor, ...]


class _ImplicitFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, layer: "OptLayer", *parameters: Tensor) -> Tensor:
        found = layer._rows.solve([parameter.numpy() for parameter in parameters])
        points = layer._kkt.polish(torch.from_numpy(found), parameters)
        ctx.layer = layer
        ctx.save_for_backward(points, *parameters)
        return points

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_points: Tensor) -> tuple[Tensor | None, ...]:
        points, *parameters = ctx.saved_tensors
        return None, *ctx.layer._kkt.pull_back(points, parameters, grad_points)


class OptLayer(nn.Module):
    """Solves a parametrised convex problem for a batch and differentiates the solution (Eqs. (3)-(5), supplement).

    Minimises ``f(p, z)`` over ``p`` subject to ``g(p, z) ≤ 0`` and ``h(p, z) = 0``. A cvxpy solver takes a block of
    rows at a time; Newton steps on the KKT conditions ``G(p, λ, ν; z) = 0`` then take all rows from the solver's
    accuracy to float64's. The derivative of all rows takes one batched linear solve,
    ``∂(p, λ, ν)/∂z = −(∂G/∂(p, λ, ν))⁻¹ ∂G/∂z``. Everything is float64 on the CPU.

    Kinks (``abs``, ``max``, ``min``, ``pos``, ``norm1``, ``norm_inf``, ``sum_largest``, ``huber``) and the Euclidean
    norm are rewritten with a variable and constraints of their own, as cvxpy does it.

    Complementarity enters ``G`` as ``g_i = 0`` where ``λ_i > −g_i`` and as ``λ_i = 0`` elsewhere, instead of
    ``λ_i g_i = 0`` as in Eq. (4). Both have the same solutions, but this form stays well conditioned where ``λ_i``
    and ``g_i`` vanish together; there it gives a one-sided derivative. Where ``G`` is singular nonetheless (linearly
    dependent active constraints, say), the least-squares solution of smallest norm is taken.

    A module without weights: it goes into ``nn.Sequential``, and copies and pickles as other modules do.

    Args:
        variables: The cvxpy variables, without attributes such as ``nonneg=True``.
        parameters: The cvxpy parameters.
        objective: ``f``, called as ``f(*variables, *parameters)``; an expression of one element.
        inequalities: The ``g``, called in the same way, each of any shape.
        equalities: The ``h``, called in the same way, each of any shape.
        solver: An installed cvxpy solver that knows the problem's cones, such as CLARABEL, SCS or (for quadratic
            problems) OSQP.
        tolerance: Accuracy required of CLARABEL, SCS, ECOS or OSQP; other solvers keep their own.
        options: Further options of the solver, by its own names; they override the tolerance.

    Raises:
        AvceError: If the problem is not convex, if it has an atom that is neither twice differentiable nor one of the
            kinks above (semidefinite and geometric problems among them), or if the solver is not installed.

    Example:
        >>> import cvxpy as cp
        >>> point, latent = cp.Variable(3), cp.Parameter(3)
        >>> sparsemax = OptLayer(
        ...     [point],
        ...     [latent],
        ...     lambda p, z: cp.sum_squares(p - z),
        ...     [lambda p, z: -p],
        ...     [lambda p, z: cp.sum(p) - 1],
        ... )
        >>> z = torch.tensor([[0.9, 0.5, -1.0]], requires_grad=True)
        >>> sparse = sparsemax(z)
        >>> sparse.detach().round(decimals=4)
        tensor([[0.7000, 0.3000, 0.0000]])
        >>> sparse[0, 0].backward()
        >>> z.grad.round(decimals=4)
        tensor([[ 0.5000, -0.5000,  0.0000]])
    """

    def __init__(
        self,
        variables: Sequence["cvxpy.Variable"],
        parameters: Sequence["cvxpy.Parameter"],
        objective: "Term",
        inequalities: Sequence["Term"],
        equalities: Sequence["Term"],
        solver: str = "CLARABEL",
        tolerance: float = 1e-8,
        **options: Any,
    ) -> None:
        super().__init__()
        self._solver, self._options = solver, solver_options(solver, tolerance) | options
        self._statement = build_statement(variables, parameters, objective, inequalities, equalities)
        _ = self._kkt  # an unknown atom is an error here, not at the first batch

    @cached_property
    def _kkt(self) -> KKT:
        return KKT(self._statement)

    @cached_property
    def _rows(self) -> RowSolver:
        return RowSolver(self._statement, self._solver, self._options)

    def __getstate__(self) -> dict[str, Any]:
        # What is built from the statement holds functions and solvers, which do not pickle.
        return {name: value for name, value in self.__dict__.items() if name not in ("_kkt", "_rows")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        # cvxpy numbers its variables from 1 in every process: those from a file need new numbers here.
        self._statement = self._statement.copy()

    def forward(self, *parameters: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return the optimal variable, or a tuple of them if there are several; see ``solve``."""
        variables = self.solve(*parameters).variables
        return variables[0] if len(variables) == 1 else variables

    def solve(self, *parameters: Tensor) -> Solution:
        """Solve the problem for every row of a batch; primal and dual solutions are differentiable.

        Args:
            *parameters: One floating-point tensor for each parameter of shape ``shape``: ``(N, *shape)``, or
                ``(*shape)`` for a value that all rows share. If all are shared, there is one problem, and the
                solutions have no first dimension.

        Returns:
            The solutions, in the dtype and on the device of the first parameter. Duals of inequalities are ``≥ 0``.

        Raises:
            ValueError: If the tensors do not fit the parameters, have no rows, or are not of floating point.
            AvceError: If a parameter is not finite, or if the problem of a row is infeasible, unbounded or cannot
                be solved to the tolerance; the text names the row.
        """
        if not all(isinstance(tensor, Tensor) and tensor.is_floating_point() for tensor in parameters):
            raise ValueError("OptLayer takes floating-point tensors; use torch.as_tensor, .float() or .double().")
        shapes = [leaf.shape for leaf in self._statement.parameters]
        given = [tuple(tensor.shape) for tensor in parameters]
        batches = [len(tensor) for tensor, shape in zip(parameters, shapes, strict=False) if tensor.ndim > len(shape)]
        rows = batches[0] if batches else 1
        if len(given) != len(shapes) or not all(
            got in (shape, (rows, *shape)) for got, shape in zip(given, shapes, strict=True)
        ):
            raise ValueError(
                f"OptLayer expects tensors of the shapes {[(rows, *shape) for shape in shapes]}, one row for each "
                f"problem first (without it, all rows share the value), but got {given}."
            )
        if not rows:
            raise ValueError("OptLayer got a batch without rows; it needs one row or more.")
        full = [tensor.expand(rows, *shape) for tensor, shape in zip(parameters, shapes, strict=True)]
        for tensor in full:
            check_finite(tensor, "OptLayer")
        points = _ImplicitFunction.apply(self, *(tensor.cpu().double() for tensor in full)).to(parameters[0])
        parts = self._kkt.split(points if batches else points[0])
        n, m, k = self._statement.given
        first, second = len(self._statement.variables), len(self._statement.inequalities)
        return Solution(
            tuple(parts[:n]),
            tuple(parts[first : first + m]),
            tuple(parts[first + second : first + second + k]),
        )


@lru_cache(maxsize=8)
def _paper_layers(
    size: int, solver: str, tolerance: float, options: tuple[tuple[str, Any], ...]
) -> tuple[OptLayer, OptLayer]:
    import cvxpy as cp

    z, x = cp.Variable(size), cp.Parameter(size)
    settings: dict[str, Any] = {"solver": solver, "tolerance": tolerance} | dict(options)
    sparse = OptLayer(
        [z], [x], lambda z, x: cp.sum_squares(z - x), [lambda z, x: -z], [lambda z, x: cp.sum(z) - 1], **settings
    )
    soft = OptLayer([z], [x], lambda z, x: -z @ x - cp.sum(cp.entr(z)), [], [lambda z, x: cp.sum(z) - 1], **settings)
    return sparse, soft


class OptLayerTransform:
    """Feature transform by two ``OptLayer``, as in Listing 1.1 of the supplement.

    Slow: 256 latents of 32 entries take seconds. Meant for studying the paper's own route.

    Args:
        solver: An installed cvxpy solver for exponential cones: CLARABEL, SCS, or ECOS, the paper's, which has to be
            installed.
        tolerance: Accuracy required of the solver.
        solver_options: Further options of the solver, by its own names.
    """

    def __init__(
        self,
        solver: str = "CLARABEL",
        tolerance: Annotated[float, Field(gt=0)] = 1e-8,
        solver_options: Mapping[str, int | float | bool | str] | None = None,
    ) -> None:
        self.solver = solver
        self.tolerance = tolerance
        self.solver_options = dict(solver_options or {})

    def __call__(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``(sparse, soft)``, each ``(N, d)``; errors as in ``OptLayer.solve``."""
        options = tuple(sorted(self.solver_options.items()))
        sparse, soft = _paper_layers(latent.shape[1], self.solver, self.tolerance, options)
        return sparse.solve(latent).variables[0], soft.solve(latent).variables[0]
