"""A convex problem written as cvxpy expressions, checked and rewritten so that nothing in it has a kink."""

# cvxpy and cvxpylayers are typed in part only.
# mypy: disable-error-code="attr-defined, no-untyped-call"

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from avce_pl.errors import AvceError

if TYPE_CHECKING:
    import cvxpy

    Term = Callable[..., cvxpy.Expression]
    Rewriting = Callable[[Any, list[Any]], tuple[Any, list[Any]]]


@dataclass(frozen=True)
class Statement:
    """Minimise an objective subject to inequalities, equalities and second-order cones.

    The variables, inequalities and equalities that the user gave come first in their lists; those that rewriting a
    kink has added follow.

    Attributes:
        variables: The variables.
        parameters: The parameters.
        objective: An expression of one element.
        inequalities: Expressions of any shape that are ``≤ 0``.
        equalities: Expressions of any shape that are ``= 0``.
        cones: Pairs ``(t, x)`` of the shapes ``(k,)`` and ``(k, n)`` with ``‖x_i‖ ≤ t_i``.
        given: How many variables, inequalities and equalities the user gave.
    """

    variables: "tuple[cvxpy.Variable, ...]"
    parameters: "tuple[cvxpy.Parameter, ...]"
    objective: "cvxpy.Expression"
    inequalities: "tuple[cvxpy.Expression, ...]"
    equalities: "tuple[cvxpy.Expression, ...]"
    cones: "tuple[tuple[cvxpy.Expression, cvxpy.Expression], ...]"
    given: tuple[int, int, int]

    def copy(self) -> "Statement":
        """The same problem with variables and parameters of its own."""
        import cvxpy as cp

        def parameter(leaf: "cvxpy.Parameter") -> "cvxpy.Parameter":
            attributes: dict[str, Any] = {name: value for name, value in leaf.attributes.items() if value}
            return cp.Parameter(leaf.shape, **attributes)

        variables = tuple(cp.Variable(leaf.shape) for leaf in self.variables)
        parameters = tuple(parameter(leaf) for leaf in self.parameters)
        new = {
            id(old): leaf
            for old, leaf in zip((*self.variables, *self.parameters), (*variables, *parameters), strict=True)
        }
        return Statement(
            variables,
            parameters,
            self.objective.tree_copy(new),
            tuple(term.tree_copy(new) for term in self.inequalities),
            tuple(term.tree_copy(new) for term in self.equalities),
            tuple((t.tree_copy(new), x.tree_copy(new)) for t, x in self.cones),
            self.given,
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> "Statement":
        return self.copy()  # cvxpy's own deep copies cannot be copied or pickled again


def build_statement(
    variables: "Sequence[cvxpy.Variable]",
    parameters: "Sequence[cvxpy.Parameter]",
    objective: "Term",
    inequalities: "Sequence[Term]",
    equalities: "Sequence[Term]",
) -> Statement:
    """Write the five lists of ``OptLayer`` as a ``Statement``; see there.

    Raises:
        AvceError: If a term is not an expression of the listed leaves, or if the problem is not convex.
    """
    lists = {"variables": variables, "parameters": parameters, "inequalities": inequalities, "equalities": equalities}
    for name, given in lists.items():
        if not isinstance(given, Sequence):
            raise AvceError(f"The {name} of OptLayer must be a list, not {given}; write [] for none.")
    if not variables or not parameters:
        raise AvceError("OptLayer needs at least one variable to solve for and one parameter to differentiate by.")
    leaves = (*variables, *parameters)
    f = _expression(objective, leaves, "The objective")
    g = [_expression(term, leaves, f"Inequality {number}") for number, term in enumerate(inequalities)]
    h = [_expression(term, leaves, f"Equality {number}") for number, term in enumerate(equalities)]
    if f.size != 1:
        raise AvceError(
            f"The objective of OptLayer has the shape {f.shape}, but it must have one element; take cp.sum of it."
        )
    _check_convex(f, g, h)
    for variable in variables:
        attributes = [name for name, value in variable.attributes.items() if value not in (None, False)]
        if attributes:
            raise AvceError(
                f"The variable {variable} of OptLayer has the attribute {attributes[0]}, which would not take part in "
                "the derivative. Declare it without, and write nonneg=True as the inequality -x, symmetric=True as "
                "the equality x - x.T; OptLayer has no semidefinite variables, the package cvxpylayers has."
            )
    used = {leaf.id for term in (f, *g, *h) for leaf in term.variables()}
    for variable in variables:
        if variable.id not in used:
            raise AvceError(
                f"The variable {variable} of OptLayer occurs in neither the objective nor a constraint, so its "
                "solution is arbitrary; use it or take it off the list."
            )
    return _without_kinks(variables, parameters, f, g, h)


def _expression(term: "Term", leaves: Sequence["cvxpy.Expression"], what: str) -> "cvxpy.Expression":
    import cvxpy as cp

    try:
        inspect.signature(term).bind(*leaves)
    except TypeError as error:
        raise AvceError(
            f"{what} of OptLayer is called with its {len(leaves)} variables and parameters, in the order of the lists, "
            f"but does not take them: {error}."
        ) from error
    try:
        found: Any = term(*leaves)
    except Exception as error:
        raise AvceError(f"{what} of OptLayer is not an expression that cvxpy can build: {error}.") from error
    if isinstance(found, cp.constraints.constraint.Constraint):
        raise AvceError(
            f"{what} of OptLayer is the constraint {found}, but it must be an expression that is to be ≤ 0 or = 0: "
            "write x >= 0 as -x, x == 1 as x - 1, and a second-order cone as cp.norm(x) - t. OptLayer has no "
            "semidefinite constraints, the package cvxpylayers has."
        )
    if isinstance(found, cp.problems.objective.Objective):
        raise AvceError(f"{what} of OptLayer is {found}; give the expression alone, with a minus sign to maximise it.")
    expression: cp.Expression = cp.Expression.cast_to_const(found)
    known = {leaf.id for leaf in leaves}
    for leaf in (*expression.variables(), *expression.parameters()):
        if leaf.id not in known:
            raise AvceError(
                f"{what} of OptLayer has the {type(leaf).__name__.lower()} {leaf}, which is not in the list of its "
                "arguments; add it to the list of variables or parameters."
            )
    return expression


def _check_convex(f: "cvxpy.Expression", g: list["cvxpy.Expression"], h: list["cvxpy.Expression"]) -> None:
    import cvxpy as cp

    problem = cp.Problem(cp.Minimize(f), [*(term <= 0 for term in g), *(term == 0 for term in h)])
    if problem.is_dcp() and not problem.is_mixed_integer():
        return
    raise AvceError(
        "The problem of OptLayer is not convex by cvxpy's rules (objective and inequalities convex, equalities affine "
        f"in the variables):\n{problem}"
        + (
            "\nIt is a geometric program: write it in the logarithms of its variables, where it is convex."
            if f.is_log_log_convex() and not f.is_convex()
            else ""
        )
    )


def _without_kinks(
    variables: "Sequence[cvxpy.Variable]",
    parameters: "Sequence[cvxpy.Parameter]",
    f: "cvxpy.Expression",
    g: list["cvxpy.Expression"],
    h: list["cvxpy.Expression"],
) -> Statement:
    """Replace every kink by a variable with constraints, as cvxpy does it before it calls a solver."""
    import cvxpy as cp
    from cvxpy.atoms.pnorm import Pnorm, PnormApprox
    from cvxpy.reductions.canonicalization import Canonicalization
    from cvxpy.reductions.eliminate_pwl.canonicalizers import CANON_METHODS

    methods: dict[Any, Rewriting] = {
        **CANON_METHODS,
        cp.huber: _rewrite_huber,
        Pnorm: _rewrite_norm,
        PnormApprox: _rewrite_norm,
    }
    rewriting = Canonicalization({atom: _of_affine_arguments(method) for atom, method in methods.items()})
    # Kinks in parameters alone stay: as variables with constraints, they would be free to move.
    rewritten, added = zip(
        *(rewriting.canonicalize_tree(term, canonicalize_params=False) for term in (f, *g, *h)), strict=True
    )
    constraints = [constraint for own in added for constraint in own]
    inequalities = [
        *rewritten[1 : 1 + len(g)],
        *(c.expr for c in constraints if isinstance(c, cp.constraints.Inequality)),
    ]
    equalities = [*rewritten[1 + len(g) :], *(c.expr for c in constraints if isinstance(c, cp.constraints.Equality))]
    cones = [tuple(c.args) for c in constraints if isinstance(c, cp.SOC)]
    listed = {variable.id: variable for variable in variables}
    for term in (rewritten[0], *inequalities, *equalities, *(part for cone in cones for part in cone)):
        listed |= {variable.id: variable for variable in term.variables()}
    return Statement(
        tuple(listed.values()),
        tuple(parameters),
        rewritten[0],
        tuple(inequalities),
        tuple(equalities),
        tuple(cones),
        (len(variables), len(g), len(h)),
    )


def _of_affine_arguments(rewrite: "Rewriting") -> "Rewriting":
    """The same rewriting for arguments that are not affine: it gets variables that bound them."""
    import cvxpy as cp

    def with_bounds(node: Any, arguments: list[Any]) -> tuple[Any, list[Any]]:
        curved = {position: term for position, term in enumerate(arguments) if not term.is_affine()}
        bounds = {position: cp.Variable(term.shape) for position, term in curved.items()}
        expression, constraints = rewrite(node, [bounds.get(*pair) for pair in enumerate(arguments)])
        return expression, constraints + [
            term <= bounds[position] if term.is_convex() else term >= bounds[position]
            for position, term in curved.items()
        ]

    return with_bounds


def _rewrite_huber(node: Any, arguments: list[Any]) -> tuple[Any, list[Any]]:
    """``huber(x)`` is the least ``n² + 2M|x − n|``."""
    import cvxpy as cp

    near, size = cp.Variable(node.shape), cp.Variable(node.shape)
    return cp.square(near) + 2 * node.M * size, [arguments[0] - near <= size, near - arguments[0] <= size]


def _rewrite_norm(node: Any, arguments: list[Any]) -> tuple[Any, list[Any]]:
    """``‖x‖`` is the least ``t`` of a second-order cone; norms other than the Euclidean one have no such kink."""
    import cvxpy as cp

    (x,) = arguments
    if float(node.p) != 2 or x.ndim > 2:
        return node.copy(arguments), []
    length = cp.Variable(node.shape)
    if x.ndim < 2 or node.axis is None:
        x = cp.reshape(x, (1, x.size), order="F")
    elif node.axis == 0:
        x = x.T
    return length, [cp.SOC(cp.vec(length, order="F"), x, axis=1)]
