"""The convex problems that ``feature_transform=cvxpylayers`` solves, one function each.

To try a problem of your own, write a function like these, in this file or in a module under ``experiments/``, and
name it as ``package.module:function`` in a YAML such as ``conf/feature_transform/capped_simplex.yaml``.

Multiply squares of the parameter out, as ``sparsemax`` does: conic solvers lose their accuracy, and hours, on
``sum_squares(point - latent)`` when the latents are large.
"""

# cvxpy and cvxpylayers are typed in part only.
# mypy: disable-error-code="attr-defined, no-untyped-call"

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import cvxpy

    ParametrizedProblem = tuple[cvxpy.Problem, cvxpy.Parameter, cvxpy.Variable]


def sparsemax(size: int) -> "ParametrizedProblem":
    """Euclidean projection of the parameter onto the simplex, Eq. (1) of the supplement; ``(size,)`` to ``(size,)``."""
    import cvxpy as cp

    latent, point = cp.Parameter(size), cp.Variable(size)
    # ‖point − latent‖² without its constant ‖latent‖²
    distance = cp.sum_squares(point) - 2 * latent @ point
    return cp.Problem(cp.Minimize(distance), [point >= 0, cp.sum(point) == 1]), latent, point


def softmax(size: int) -> "ParametrizedProblem":
    """Entropy-regularised projection onto the simplex, Eq. (2) of the supplement; ``(size,)`` to ``(size,)``."""
    import cvxpy as cp

    latent, point = cp.Parameter(size), cp.Variable(size)
    problem = cp.Problem(cp.Maximize(latent @ point + cp.sum(cp.entr(point))), [cp.sum(point) == 1])
    return problem, latent, point


def capped_simplex(size: int) -> "ParametrizedProblem":
    """SparseMax with no entry above four times its fair share ``1 / size``; an example of an own problem (ours)."""
    import cvxpy as cp

    problem, latent, point = sparsemax(size)
    return cp.Problem(problem.objective, [*problem.constraints, point <= 4 / size]), latent, point
