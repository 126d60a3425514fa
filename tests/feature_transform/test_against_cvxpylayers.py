"""OptLayer and the package cvxpylayers on the kinds of problems that the latter's own tests have: 18 of those 20."""

from typing import NamedTuple

import cvxpy as cp
import numpy as np
import pytest
import torch

from avce_pl.errors import AvceError
from avce_pl.feature_transform.opt_layer import OptLayer

cvxpylayers = pytest.importorskip("cvxpylayers.torch")

# cvxpylayers hands tensors to numpy in a way that numpy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


class Case(NamedTuple):
    """A problem as OptLayer takes it, and values of its parameters, some without a dimension for the rows."""

    variables: list
    parameters: list
    objective: object
    inequalities: list
    equalities: list
    values: list

    def layer(self, **settings):
        return OptLayer(*self[:5], **settings)

    def problem(self):
        leaves = [*self.variables, *self.parameters]
        bounds = [term(*leaves) <= 0 for term in self.inequalities] + [term(*leaves) == 0 for term in self.equalities]
        return cp.Problem(cp.Minimize(self.objective(*leaves)), bounds)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def norm1_example():
    x, a, b = cp.Variable(2), cp.Parameter((3, 2)), cp.Parameter(3)
    values = [random(4, 3, 2), random(4, 3, seed=1)]
    return Case([x], [a, b], lambda x, a, b: cp.pnorm(a @ x - b, p=1) / 2, [lambda x, a, b: -x], [], values)


def socp():
    n = 4
    x = cp.Variable((n, 1))
    parameters = [cp.Parameter((n, n)), cp.Parameter((n, 1)), cp.Parameter((1, n)), cp.Parameter((1, 1))]
    values = [random(3, n, n), 3 * random(3, n, 1, seed=1), random(3, 1, n, seed=2), random(3, 1, 1, seed=3) / 5]
    return Case(
        [x],
        parameters,
        lambda x, root, q, a, b: cp.sum_squares(root @ x) / 2 + q.T @ x,
        [lambda x, root, q, a, b: cp.norm(x) - 1],
        [lambda x, root, q, a, b: a @ x - b],
        values,
    )


def ridge(values):
    x, a, b = cp.Variable(5), cp.Parameter((20, 5)), cp.Parameter(20)
    return Case([x], [a, b], lambda x, a, b: cp.sum_squares(a @ x - b) + cp.sum_squares(x), [], [], values)


def least_squares():
    return ridge([random(3, 20, 5), random(3, 20, seed=1)])


def least_squares_alone():
    return ridge([random(20, 5), random(20, seed=1)])


def least_squares_with_a_shared_matrix():
    return ridge([random(20, 5), random(3, 20, seed=1)])


def least_squares_with_a_shared_target():
    return ridge([random(3, 20, 5), random(20, seed=1)])


def logistic_regression():
    rows, size = 10, 2
    a, points, weight = cp.Variable((size, 1)), cp.Parameter((rows, size)), cp.Parameter(1, nonneg=True)
    labels = (random(rows, 1, seed=5).numpy() > 0).astype(float)

    def objective(a, points, weight):
        both = cp.hstack([np.zeros((rows, 1)), points @ a])
        likelihood = cp.multiply(labels, points @ a) - cp.log_sum_exp(both.T, axis=0, keepdims=True).T
        return -cp.sum(likelihood) + weight * cp.sum_squares(a)

    values = [random(3, rows, size), torch.tensor([[0.1], [0.5], [1.0]], dtype=torch.float64)]
    return Case([a], [points, weight], objective, [], [], values)


def entropy():
    x, a, b, f, g = cp.Variable(5), cp.Parameter((2, 5)), cp.Parameter(2), cp.Parameter((2, 5)), cp.Parameter(2)
    inside = random(5).abs() + 0.1
    matrix, bound = random(3, 2, 5, seed=1), random(3, 2, 5, seed=2)
    return Case(
        [x],
        [a, b, f, g],
        lambda x, a, b, f, g: -cp.sum(cp.entr(x)) + 0.01 * cp.sum_squares(x),
        [lambda x, a, b, f, g: f @ x - g],
        [lambda x, a, b, f, g: a @ x - b],
        [matrix, matrix @ inside, bound, bound @ inside + 0.1],
    )


def multilabel():
    y, x = cp.Variable(4), cp.Parameter(4)

    def objective(y, x):
        return -x @ y - cp.sum(cp.entr(y)) - cp.sum(cp.entr(1 - y))

    return Case([y], [x], objective, [], [lambda y, x: cp.sum(y) - 2], [random(3, 4)])


def weighted_norms():
    x, first, second = cp.Variable(1), cp.Parameter(1, nonneg=True), cp.Parameter(1, nonneg=True)
    values = [random(3, 1).abs(), random(3, 1, seed=1).abs() + 0.1]
    return Case([x], [first, second], lambda x, a, b: a * cp.norm(x - 1, 1) + b * cp.sum_squares(x), [], [], values)


def second_target():
    """The same matrix as ``least_squares``, with a target of its own: the second layer of a pair that shares it."""
    x, a = cp.Variable(5), cp.Parameter((20, 5))
    target = random(20, seed=7).numpy()
    return Case([x], [a], lambda x, a: cp.sum_squares(a @ x - target), [], [], [random(20, 5)])


def equality():
    x, b = cp.Variable(6), cp.Parameter(6)
    return Case([x], [b], lambda x, b: cp.sum_squares(x), [], [lambda x, b: np.eye(6) @ x - b], [random(6)])


def quadratic():
    x, y, q, b = cp.Variable(3), cp.Variable((2, 2)), cp.Parameter(3), cp.Parameter((2, 2))
    gram = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.0, 0.2, 3.0]])
    return Case(
        [x, y],
        [q, b],
        lambda x, y, q, b: cp.quad_form(x, gram) + q @ x + cp.sum_squares(y - b),
        [lambda x, y, q, b: cp.norm_inf(x) - 0.3, lambda x, y, q, b: cp.sum(cp.pos(y)) - cp.sum(x) - 1],
        [],
        [random(4, 3), random(4, 2, 2, seed=1)],
    )


CASES = [
    norm1_example,
    socp,
    least_squares,
    least_squares_alone,
    least_squares_with_a_shared_matrix,
    least_squares_with_a_shared_target,
    logistic_regression,
    entropy,
    multilabel,
    weighted_norms,
    second_target,
    equality,
    quadratic,
]


@pytest.mark.parametrize("make", CASES)
def test_solutions_and_gradients_agree(make):
    case = make()
    reference = cvxpylayers.CvxpyLayer(case.problem(), parameters=case.parameters, variables=case.variables)
    results = []
    for name in ("ours", "theirs"):
        values = [value.clone().requires_grad_() for value in case.values]
        if name == "ours":
            solutions = case.layer().solve(*values).variables
        else:
            options = {"solve_method": "SCS", "eps": 1e-10, "max_iters": 100_000, "mode": "lsmr"}
            solutions = reference(*values, solver_args=options)
        weights = [random(*solution.shape, seed=3) for solution in solutions]
        results.append([*solutions, *torch.autograd.grad(solutions, values, weights)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("make", [socp, norm1_example, weighted_norms, quadratic])
def test_gradients_and_multipliers_are_what_differences_show(make):
    case = make()
    layer = case.layer()
    values = [value[:1].clone().requires_grad_() for value in case.values]

    def everything(*values):
        return tuple(tensor for part in layer.solve(*values) for tensor in part)

    assert torch.autograd.gradcheck(everything, values, atol=1e-5)


def test_without_gradients():
    case = norm1_example()
    with torch.no_grad():
        assert not case.layer()(*[value.requires_grad_() for value in case.values]).requires_grad
    assert not norm1_example().layer()(*[value.detach() for value in case.values]).requires_grad


def test_what_is_missing_or_too_much_is_said():
    case = weighted_norms()
    with pytest.raises(AvceError, match=r"does not take them"):
        OptLayer(case.variables, case.parameters[:1], case.objective, [], [])
    first, second = case.parameters
    with pytest.raises(AvceError, match=rf"has the parameter {second.name()}, which is not in the list"):
        OptLayer(case.variables, [first], lambda x, a: a * cp.norm1(x) + second * cp.sum_squares(x), [], [])
    with pytest.raises(ValueError, match="OptLayer expects tensors of the shapes"):
        case.layer()(case.values[0])
    unused = cp.Variable()
    with pytest.raises(AvceError, match=rf"variable {unused.name()} of OptLayer occurs in neither"):
        OptLayer([*case.variables, unused], case.parameters, lambda x, u, a, b: case.objective(x, a, b), [], [])


def test_infeasible_and_unbounded():
    x, p = cp.Variable(1), cp.Parameter(1)
    value = torch.ones(1, dtype=torch.float64)
    with pytest.raises(AvceError, match="infeasible"):
        OptLayer([x], [p], lambda x, p: p, [lambda x, p: 1 - x, lambda x, p: x + 1], [])(value)
    with pytest.raises(AvceError, match="unbounded"):
        OptLayer([x], [p], lambda x, p: x, [lambda x, p: x - p], [])(value)


@pytest.mark.parametrize(
    ("matrix", "target"), [((4, 20, 5), (3, 20)), ((4, 20, 5), (4, 40)), ((20, 5), (40,)), ((4, 20, 5), (4, 4, 20))]
)
def test_shapes_that_do_not_fit(matrix, target):
    with pytest.raises(ValueError, match="OptLayer expects tensors of the shapes"):
        ridge([]).layer()(torch.zeros(matrix), torch.zeros(target))


def test_a_semidefinite_problem_is_refused_in_words():
    c = cp.Parameter((3, 3))
    with pytest.raises(AvceError, match=r"attribute symmetric.*semidefinite"):
        OptLayer([cp.Variable((3, 3), symmetric=True)], [c], lambda x, c: cp.trace(c @ x), [], [])
    with pytest.raises(AvceError, match=r"Inequality 0 of OptLayer is the constraint.*semidefinite"):
        OptLayer([cp.Variable((3, 3))], [c], lambda x, c: cp.trace(c @ x), [lambda x, c: x >> 0], [])
    with pytest.raises(AvceError, match="cannot differentiate the cvxpy atom 'lambda_max'"):
        OptLayer([cp.Variable((3, 3))], [c], lambda x, c: cp.trace(c @ x), [lambda x, c: cp.lambda_max(-x)], [])


def test_a_geometric_problem_is_refused_in_words():
    x, y, a = cp.Variable(pos=True), cp.Variable(pos=True), cp.Parameter(pos=True)
    with pytest.raises(AvceError, match="It is a geometric program"):
        OptLayer([x, y], [a], lambda x, y, a: 1 / (x * y), [lambda x, y, a: a * x * y + x - 1], [])
