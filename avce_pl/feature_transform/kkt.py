"""The KKT conditions of a batch of convex problems: Newton steps on them, and the derivative of their solutions."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import grad, jacrev, vjp, vmap

from avce_pl.errors import AvceError
from avce_pl.feature_transform.cvxpy_to_torch import torch_function
from avce_pl.feature_transform.statement import Statement


class KKT:
    """The conditions ``G(p, λ, ν, μ; z) = 0`` of a problem; a *point* is ``(p, λ, ν, μ)`` as one vector.

    ``λ``, ``ν`` and ``μ`` are the multipliers of inequalities, equalities and second-order cones. ``G`` holds the
    gradient of the Lagrangian ``f + λ·g + ν·h − Σ μ·(t, x)`` in ``p``, the equalities, and for the rest that a
    constraint and its multiplier are complementary: ``s = Π(s − y)``, where ``Π`` projects onto the cone, ``s`` is
    the slack (``−g`` or ``(t, x)``) and ``y`` the multiplier. For an inequality this is ``g_i = 0`` where
    ``λ_i > −g_i`` and ``λ_i = 0`` elsewhere.

    Args:
        statement: The problem.

    Raises:
        AvceError: If it has an atom that is not twice differentiable.
    """

    def __init__(self, statement: Statement) -> None:
        leaves = [*statement.variables, *statement.parameters]
        constraints = [*statement.inequalities, *statement.equalities]
        self._objective = torch_function(statement.objective, leaves)
        self._constraints = [torch_function(term, leaves) for term in constraints]
        self._cones = [(torch_function(t, leaves), torch_function(x, leaves)) for t, x in statement.cones]
        cone_shapes = [(x.shape[0], 1 + x.shape[1]) for _, x in statement.cones]
        self._shapes = [*(term.shape for term in [*statement.variables, *constraints]), *cone_shapes]
        self._sizes = [torch.Size(shape).numel() for shape in self._shapes]
        self._variables = len(statement.variables)
        n, m = (sum(term.size for term in terms) for terms in (statement.variables, statement.inequalities))
        self._is_inequality = torch.zeros(sum(self._sizes), dtype=torch.bool)
        self._is_inequality[n : n + m] = True

    def split(self, points: Tensor) -> list[Tensor]:
        """Cut points, shape ``(..., entries)``, into variables and multipliers, each ``(..., *shape)``."""
        parts = torch.split(points, self._sizes, -1)
        return [part.reshape((*part.shape[:-1], *shape)) for part, shape in zip(parts, self._shapes, strict=True)]

    def polish(self, points: Tensor, parameters: Sequence[Tensor]) -> Tensor:
        """Take Newton steps from points ``(N, entries)`` in the rows where the next step would be a shorter one.

        Steps are compared and not residuals of ``G``: where an entropy's entry is tiny, its logarithm in ``G`` is large
        though hardly anything is left to correct (Deuflhard's natural monotonicity test).

        Args:
            points: Approximate solutions, ``(N, entries)``.
            parameters: One tensor ``(N, *shape)`` for each parameter.

        Returns:
            Solutions of the same shape.
        """
        for _ in range(2):
            jacobian = vmap(jacrev(self._residual))(points, *parameters)
            step = _solve_linear(jacobian, vmap(self._residual)(points, *parameters))
            next_step = _solve_linear(jacobian, vmap(self._residual)(points - step, *parameters))
            shorter = next_step.norm(dim=1, keepdim=True) < step.norm(dim=1, keepdim=True)
            points = torch.where(shorter, points - step, points)
        return points

    def pull_back(self, points: Tensor, parameters: Sequence[Tensor], grad_points: Tensor) -> tuple[Tensor, ...]:
        """Turn gradients with respect to the solutions into gradients with respect to the parameters.

        Args:
            points: Solutions, ``(N, entries)``.
            parameters: One tensor ``(N, *shape)`` for each parameter.
            grad_points: Gradients of the shape of ``points``.

        Returns:
            Gradients of the shapes of ``parameters``.

        Raises:
            AvceError: If a problem is not twice differentiable at its solution; the text names its row.
        """
        jacobian = vmap(jacrev(self._residual))(points, *parameters)
        broken = jacobian.flatten(1).isfinite().all(1).logical_not().nonzero()
        if len(broken):
            raise AvceError(
                f"The problem of row {int(broken[0])} in OptLayer is not twice differentiable at its solution, "
                "so its derivative is not defined; change the problem or its parameters."
            )
        adjoint = _solve_linear(jacobian.mT, -grad_points)
        pull = vjp(lambda *z: vmap(self._residual)(points, *z), *parameters)[1]
        pulled: tuple[Tensor, ...] = pull(adjoint)
        return pulled

    def _lagrangian(self, point: Tensor, *parameters: Tensor) -> Tensor:
        parts = self.split(point)
        values = [*parts[: self._variables], *parameters]
        total = self._objective(values).reshape(())
        multipliers = iter(parts[self._variables :])
        for constraint, multiplier in zip(self._constraints, multipliers):  # noqa: B905 - the cones follow
            total = total + (multiplier * constraint(values)).sum()
        for (t, x), multiplier in zip(self._cones, multipliers, strict=True):
            total = total - (multiplier * torch.cat([t(values).unsqueeze(1), x(values)], 1)).sum()
        return total

    def _residual(self, point: Tensor, *parameters: Tensor) -> Tensor:
        """``G`` of one row, ``(entries,)``."""
        # The gradient of the Lagrangian in (p, λ, ν, μ) is (stationarity, g, h, −(t, x)): all but complementarity.
        slope = grad(self._lagrangian)(point, *parameters)
        residual = torch.where(~self._is_inequality | (point > -slope), slope, point)
        if not self._cones:
            return residual
        count = len(self._sizes) - len(self._cones)
        cones = [
            (-slope - _project_on_cone(-slope - multiplier)).flatten()
            for slope, multiplier in zip(self.split(slope)[count:], self.split(point)[count:], strict=True)
        ]
        return torch.cat([residual[: sum(self._sizes[:count])], *cones])


def _project_on_cone(points: Tensor) -> Tensor:
    """The points of the second-order cone closest to points ``(k, 1 + n)``, rows ``(t, x)``."""
    t, x = points[:, :1], points[:, 1:]
    at_axis = (x == 0).all(1, keepdim=True)  # a norm without derivative, in rows that do not need it
    length = torch.where(at_axis, torch.ones_like(x), x).norm(dim=1, keepdim=True)
    inside = at_axis & (t >= 0) | ~at_axis & (t >= length)
    below = at_axis & (t < 0) | ~at_axis & (t <= -length)
    edge = (1 + t / length) / 2 * torch.cat([length, x], 1)
    return torch.where(inside, points, torch.where(below, 0, edge))


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
