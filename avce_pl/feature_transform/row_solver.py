"""Solves a batch of parametrised problems with a cvxpy solver, a block of rows at a time."""

# cvxpy and cvxpylayers are typed in part only.
# mypy: disable-error-code="attr-defined, no-untyped-call"

import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avce_pl.errors import AvceError
from avce_pl.feature_transform.statement import Statement

# Rows that the solver gets as one separable problem: cvxpy takes ten times as long to pass a problem of 32 variables
# on as the solver takes to solve it.
_BLOCK = 16


class RowSolver:
    """Finds the primal and dual solution of a problem for every row of a batch.

    Args:
        statement: The problem.
        solver: An installed cvxpy solver.
        options: Its options.
    """

    def __init__(self, statement: Statement, solver: str, options: Mapping[str, Any]) -> None:
        self._statement = statement
        self._settings = solver, options
        self._row = _Problem([statement], solver, options)

    @cached_property
    def _block(self) -> "_Problem":
        return _Problem([self._statement.copy() for _ in range(_BLOCK)], *self._settings)

    def solve(self, values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Solve the problem for the values of its parameters.

        Args:
            values: One array ``(N, *shape)`` for each parameter.

        Returns:
            ``(N, entries)``: variables and the multipliers of inequalities, equalities and cones, each in C order.

        Raises:
            AvceError: If the solver finds no solution of a row; the text names the row.
        """
        rows = len(values[0])
        found = []
        with warnings.catch_warnings():
            # An inaccurate solution is an error below.
            warnings.filterwarnings("ignore", "Solution may be inaccurate", UserWarning)
            for start in range(0, rows, _BLOCK):
                own = [value[start : start + _BLOCK] for value in values]
                found += self._solve_block(own) or [
                    self._solve_row(start + row, [value[row : row + 1] for value in own]) for row in range(len(own[0]))
                ]
        return np.array(found)

    def _solve_block(self, values: Sequence[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
        """The solutions of a whole block; none where its rows have to be solved one by one."""
        import cvxpy as cp

        if len(values[0]) < _BLOCK:
            return []
        try:
            return self._block.solutions() if self._block.solve(values) == cp.OPTIMAL else []
        except Exception:
            return []  # one bad row is enough; alone it has a number

    def _solve_row(self, row: int, values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        import cvxpy as cp

        try:
            status = self._row.solve(values)
        except Exception as error:  # solvers raise what they like, for an unknown option say
            raise AvceError(
                f"{self._settings[0]} could not solve the problem of row {row} in OptLayer ({str(error).rstrip('.')}); "
                "check that row's parameters, or try another solver or other options."
            ) from error
        if status != cp.OPTIMAL:
            nearly = status in (cp.OPTIMAL_INACCURATE, cp.USER_LIMIT)
            trouble = "was not solved to the tolerance" if nearly else f"is {status.replace('_', ' ')}"
            raise AvceError(
                f"The problem of row {row} in OptLayer {trouble}; check its constraints and that row's parameters, or "
                "try another solver or tolerance."
            )
        return self._row.solutions()[0]


class _Problem:
    """The sum of the problems of some rows, each with variables and parameters of its own."""

    def __init__(self, rows: Sequence[Statement], solver: str, options: Mapping[str, Any]) -> None:
        import cvxpy as cp

        self._rows, self._solver, self._options = rows, solver, options
        self._constraints = [
            [
                *(term <= 0 for term in row.inequalities),
                *(term == 0 for term in row.equalities),
                *(cp.SOC(t, x, axis=1) for t, x in row.cones),
            ]
            for row in rows
        ]
        total = cp.Minimize(sum(row.objective for row in rows))
        self._problem = cp.Problem(total, [constraint for own in self._constraints for constraint in own])

    def solve(self, values: Sequence[NDArray[np.float64]]) -> str:
        """Solve for the values of the parameters, each ``(rows, *shape)``, and return the solver's status."""
        for number, row in enumerate(self._rows):
            for parameter, value in zip(row.parameters, values, strict=True):
                parameter.value = value[number]
        self._problem.solve(solver=self._solver, **self._options)
        status: str = self._problem.status
        return status

    def solutions(self) -> list[NDArray[np.float64]]:
        """Variables and multipliers of every row."""
        return [
            np.concatenate([np.ravel(value) for leaf in (*row.variables, *constraints) for value in _values(leaf)])
            for row, constraints in zip(self._rows, self._constraints, strict=True)
        ]


def _values(solved: Any) -> list[Any]:
    """The value of a variable or the multipliers of a constraint; those of a cone as rows ``(t, x)``."""
    import cvxpy as cp

    if isinstance(solved, cp.SOC):
        t, x = (variable.value for variable in solved.dual_variables)
        return [np.column_stack([t, x])]
    return [solved.value if isinstance(solved, cp.Variable) else solved.dual_value]
