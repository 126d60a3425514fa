import copy
import pickle
import subprocess
import sys

import cvxpy as cp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avce_pl.errors import AvceError
from avce_pl.feature_transform.closed_form import ClosedForm
from avce_pl.feature_transform.kkt import KKT
from avce_pl.feature_transform.opt_layer import OptLayer, OptLayerTransform
from avce_pl.feature_transform.statement import build_statement
from tests.support.reference_transforms import sparsemax_row


def normal(*shape, seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(*shape, generator=generator, dtype=torch.float64) * scale).requires_grad_()


def test_listing_1_1():
    """The supplement's listing with today's names: `sum_squared` is `sum_squares`, the layer is imported from here."""
    # SparseMax
    z = cp.Variable(32)
    x = cp.Parameter(32)
    f = lambda z, x: cp.sum_squares(z - x)  # noqa: E731
    g = lambda z, x: -z  # noqa: E731
    h = lambda z, x: cp.sum(z) - 1  # noqa: E731
    sp = OptLayer([z], [x], f, [g], [h])

    # SoftMax
    w = cp.Variable(32)
    y = cp.Parameter(32)
    fs = lambda w, y: -w @ y - cp.sum(cp.entr(w))  # noqa: E731
    hs = lambda w, y: cp.sum(w) - 1  # noqa: E731
    sm = OptLayer([w], [y], fs, [], [hs])

    # Forward pass
    feat = normal(4, 32)
    sp_feat = sp(feat)
    sm_feat = sm(feat)

    torch.testing.assert_close(sp_feat.detach().numpy(), np.stack([sparsemax_row(row) for row in feat.detach()]))
    torch.testing.assert_close(sm_feat, feat.softmax(1))


@pytest.mark.parametrize("solver", ["CLARABEL", "SCS"])
@pytest.mark.parametrize("scale", [0.1, 3.0])
def test_the_transform_agrees_with_the_closed_form(solver, scale):
    latent = normal(16, 32, scale=scale).detach().float().relu().requires_grad_()
    grad = normal(16, 32, seed=1).detach().float()
    for ours, exact in zip(OptLayerTransform(solver)(latent), ClosedForm()(latent), strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, exact, atol=1e-6, rtol=0)
        actual, expected = (torch.autograd.grad(output, latent, grad)[0] for output in (ours, exact))
        torch.testing.assert_close(actual, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("scale", [10, 100, 1000])
def test_large_latents_are_solved_and_differentiated_as_exactly(scale):
    latent = (normal(32, 32).detach().relu() * scale).requires_grad_()
    grad = normal(32, 32, seed=1).detach()
    for ours, exact in zip(OptLayerTransform()(latent), ClosedForm()(latent), strict=True):
        torch.testing.assert_close(ours, exact, atol=1e-5, rtol=0)
        actual, expected = (torch.autograd.grad(output, latent, grad)[0] for output in (ours, exact))
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.integers(-8, 8).map(lambda tick: tick / 4), min_size=5, max_size=5), min_size=1, max_size=18),
    st.sampled_from([1e-3, 1.0, 10.0]),
)
def test_the_transform_is_exact_for_latents_with_ties(rows, scale):
    latent = torch.tensor(rows, dtype=torch.float64) * scale
    sparse, soft = OptLayerTransform()(latent)
    np.testing.assert_allclose(sparse.numpy(), [sparsemax_row(row) for row in latent.numpy()], atol=1e-8)
    exponentials = np.exp(latent.numpy() - latent.numpy().max(1, keepdims=True))
    np.testing.assert_allclose(soft.numpy(), exponentials / exponentials.sum(1, keepdims=True), atol=1e-5)


def test_the_transform_copies_and_pickles_and_works_under_autocast():
    latent = normal(2, 5).detach().bfloat16().requires_grad_()
    transform = OptLayerTransform()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sparse, soft = transform(latent)
        (sparse + soft).square().sum().backward()
    assert sparse.dtype == latent.grad.dtype == torch.bfloat16
    for twin in (copy.deepcopy(transform), pickle.loads(pickle.dumps(transform))):
        assert torch.equal(twin(latent)[0], sparse)


def test_primal_and_dual_solutions_have_the_derivatives_that_differences_show():
    """A quadratic objective, a quadratic constraint and an equality, each with a parameter; two variables."""
    x, y = cp.Variable(3), cp.Variable()
    center, radius, total = cp.Parameter(3), cp.Parameter(), cp.Parameter()
    layer = OptLayer(
        [x, y],
        [center, radius, total],
        lambda x, y, c, r, t: cp.sum_squares(x - c) + cp.exp(y),
        [lambda x, y, c, r, t: cp.sum_squares(x) - r, lambda x, y, c, r, t: -y - 5],
        [lambda x, y, c, r, t: cp.sum(x) + y - t],
    )
    inputs = (normal(3, 3, scale=2), torch.tensor([0.5, 2.0, 20.0]).double(), torch.tensor([0.1, -0.5, 1.0]).double())
    inputs = tuple(value.detach().requires_grad_() for value in inputs)
    solution = layer.solve(*inputs)
    assert [value.shape for value in solution.variables] == [(3, 3), (3,)]
    assert solution.inequality_duals[0][0] > 0.1  # active in row 0
    assert solution.inequality_duals[0][2].abs() < 1e-9  # not in row 2
    assert torch.autograd.gradcheck(lambda *z: tuple(t for part in layer.solve(*z) for t in part), inputs, atol=1e-4)


def test_the_duals_are_the_multipliers_of_the_lagrangian():
    z, x = cp.Variable(4), cp.Parameter(4)
    layer = OptLayer([z], [x], lambda z, x: cp.sum_squares(z - x), [lambda z, x: -z], [lambda z, x: cp.sum(z) - 1])
    latent = normal(6, 4)
    (p,), (bound,), (total,) = layer.solve(latent)
    torch.testing.assert_close(2 * (p - latent) - bound + total.unsqueeze(1), torch.zeros_like(p))
    assert (bound >= -1e-12).all()
    assert (bound * p).abs().max() < 1e-12


def test_gradients_reach_several_parameters_of_a_least_squares_problem():
    x = cp.Variable(2)
    matrix, right = cp.Parameter((3, 2)), cp.Parameter(3)
    layer = OptLayer([x], [matrix, right], lambda x, a, b: cp.sum_squares(a @ x - b), [], [])
    a, b = normal(5, 3, 2), normal(5, 3, seed=1)
    expected = torch.linalg.solve(a.mT @ a, (a.mT @ b.unsqueeze(2)).squeeze(2))
    actual = layer(a, b)
    torch.testing.assert_close(actual, expected)
    grad = normal(5, 2, seed=2).detach()
    for ours, exact in zip(
        torch.autograd.grad(actual, (a, b), grad), torch.autograd.grad(expected, (a, b), grad), strict=True
    ):
        torch.testing.assert_close(ours, exact)


def test_dependent_constraints_do_not_spoil_the_derivative():
    """The bound twice over and the equality twice over: the duals are not unique, the solution is."""
    z, x = cp.Variable(5), cp.Parameter(5)
    layer = OptLayer(
        [z],
        [x],
        lambda z, x: cp.sum_squares(z - x),
        [lambda z, x: -z, lambda z, x: -2 * z],
        [lambda z, x: cp.sum(z) - 1, lambda z, x: 3 * cp.sum(z) - 3],
    )
    latent, grad = normal(4, 5), normal(4, 5, seed=1).detach()
    ours, (exact, _) = layer(latent), ClosedForm()(latent)
    torch.testing.assert_close(ours, exact, atol=1e-6, rtol=0)
    actual, expected = (torch.autograd.grad(output, latent, grad)[0] for output in (ours, exact))
    torch.testing.assert_close(actual, expected, atol=1e-6, rtol=0)


def test_at_a_tie_the_derivative_is_one_sided():
    """z = (1, 0): the second entry is exactly on the boundary of the support."""
    latent = torch.tensor([[1.0, 0.0]], dtype=torch.float64, requires_grad=True)
    OptLayerTransform()(latent)[0][0, 0].backward()
    inside, outside = torch.tensor([[0.5, -0.5]]), torch.zeros(1, 2)
    assert any(torch.allclose(latent.grad, side.double(), atol=1e-6) for side in (inside, outside))


def box(**settings):
    z, x = cp.Variable(2), cp.Parameter(2)
    return OptLayer([z], [x], lambda z, x: cp.sum(z), [lambda z, x: x - z, lambda z, x: z - 1], [], **settings)


def test_an_infeasible_row_is_named():
    with pytest.raises(AvceError, match="problem of row 2 in OptLayer is infeasible"):
        box()(torch.tensor([[0.0, 0.5], [-1.0, 0.0], [2.0, 0.0]]))


def capped(cap):
    """The projection of x onto the simplex with entries of at most `cap`, a parameter with a sign."""
    z, x = cp.Variable((2, 3)), cp.Parameter((2, 3))
    return OptLayer(
        [z],
        [x, cap],
        lambda z, x, cap: cp.sum_squares(z - x) + cap * cp.sum(cp.square(z)),  # convex for cap ≥ 0 only
        [lambda z, x, cap: -z, lambda z, x, cap: z - cap],
        [lambda z, x, cap: cp.sum(z) - 1],
    )


def test_blocks_of_rows_give_what_rows_alone_give():
    layer = capped(cp.Parameter(nonneg=True))
    values = normal(37, 2, 3), torch.linspace(0.21, 0.9, 37, dtype=torch.float64)
    together = layer.solve(*values)
    alone = [layer.solve(*(value[row : row + 1] for value in values)) for row in range(37)]
    for got, *expected in zip(
        (*together.variables, *together.inequality_duals),
        *[(*row.variables, *row.inequality_duals) for row in alone],
        strict=True,
    ):
        torch.testing.assert_close(got, torch.cat(expected), rtol=0, atol=1e-9)


@pytest.mark.parametrize("row", [3, 20, 36])
def test_a_bad_row_of_a_block_is_named(row):
    cap = torch.full((37,), 0.5, dtype=torch.float64)
    cap[row] = 0.1  # six entries of at most .1 do not sum to one
    with pytest.raises(AvceError, match=f"problem of row {row} in OptLayer is infeasible"):
        capped(cp.Parameter(nonneg=True))(normal(37, 2, 3), cap)


def test_a_term_that_names_a_variable_instead_of_its_argument():
    z, x = cp.Variable(5), cp.Parameter(5)
    layer = OptLayer([z], [x], lambda *_: cp.sum_squares(z - x), [lambda *_: -z], [lambda *_: cp.sum(z) - 1])
    latent = normal(20, 5)
    torch.testing.assert_close(layer(latent), ClosedForm()(latent)[0], rtol=0, atol=1e-9)


def test_an_unbounded_row_is_named():
    z, x = cp.Variable(2), cp.Parameter(2)
    layer = OptLayer([z], [x], lambda z, x: x @ z, [lambda z, x: -z], [])
    with pytest.raises(AvceError, match="problem of row 1 in OptLayer is unbounded"):
        layer(torch.tensor([[1.0, 1.0], [1.0, -1.0]]))


def test_a_parameter_that_its_declaration_excludes_is_named():
    z, x = cp.Variable(2), cp.Parameter(2, nonneg=True)
    layer = OptLayer([z], [x], lambda z, x: cp.sum_squares(z - x), [], [])
    with pytest.raises(
        AvceError, match=r"could not solve the problem of row 1 in OptLayer \(Parameter value must be nonnegative"
    ):
        layer(torch.tensor([[1.0, 1.0], [1.0, -1.0]]))


def test_broken_parameters_are_named():
    with pytest.raises(AvceError, match=r"OptLayer got NaN or infinite values in 1 of 2 rows \(first: row 1\)"):
        box()(torch.tensor([[0.0, 0.0], [0.0, torch.nan]]))


@pytest.mark.parametrize("shapes", [[(2, 3)], [(3,)], [], [(3, 2), (3, 2)]])
def test_tensors_that_do_not_fit_are_refused(shapes):
    with pytest.raises(ValueError, match="OptLayer expects tensors of the shapes"):
        box()(*(torch.zeros(shape) for shape in shapes))
    with pytest.raises(ValueError, match="without rows"):
        box()(torch.zeros(0, 2))
    for wrong in (torch.zeros(3, 2, dtype=torch.long), np.zeros((3, 2))):
        with pytest.raises(ValueError, match="takes floating-point tensors"):
            box()(wrong)


def test_one_problem_alone_has_no_dimension_for_rows():
    alone = box().solve(torch.zeros(2))
    together = box().solve(torch.zeros(1, 2))
    for ours, batch in zip(
        (*alone.variables, *alone.inequality_duals), (*together.variables, *together.inequality_duals), strict=True
    ):
        assert torch.equal(ours, batch[0])


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_an_objective_of_one_element_is_a_scalar(shape):
    z, x = cp.Variable(5), cp.Parameter(5)
    layer = OptLayer(
        [z],
        [x],
        lambda z, x: cp.reshape(cp.sum_squares(z - x), shape, order="C"),
        [lambda z, x: -z],
        [lambda z, x: cp.sum(z) - 1],
    )
    latent, grad = normal(20, 5), normal(20, 5, seed=1).detach()
    results = [(out, *torch.autograd.grad(out, latent, grad)) for out in (layer(latent), ClosedForm()(latent)[0])]
    torch.testing.assert_close(*results)


KINKS = {
    "abs": (lambda x: cp.sum(cp.abs(x)), lambda x: x.abs().sum(1)),
    "max": (cp.max, lambda x: x.amax(1)),
    "min": (lambda x: -cp.min(x), lambda x: -x.amin(1)),
    "pos": (lambda x: cp.sum(cp.pos(x)), lambda x: x.relu().sum(1)),
    "norm1": (cp.norm1, lambda x: x.abs().sum(1)),
    "norm_inf": (cp.norm_inf, lambda x: x.abs().amax(1)),
    "sum_largest": (lambda x: cp.sum_largest(x, 2), lambda x: x.topk(2, 1).values.sum(1)),
    "huber": (
        lambda x: cp.sum(cp.huber(x, 0.5)),
        lambda x: torch.nn.functional.huber_loss(x, 0 * x, "none", 0.5).mul(2).sum(1),
    ),
    "norm2": (cp.norm2, lambda x: x.norm(dim=1)),
    "max of squares": (lambda x: cp.max(cp.square(x)), lambda x: x.square().amax(1)),
    "square of pos": (lambda x: cp.sum_squares(cp.pos(x)), lambda x: x.relu().square().sum(1)),
}


@pytest.mark.parametrize("kink", KINKS)
def test_kinks_are_solved_and_differentiated(kink):
    """Against the optimum that a search in all directions finds, and against differences of the solutions."""
    term, torch_term = KINKS[kink]
    z, x = cp.Variable(3), cp.Parameter(3)
    layer = OptLayer([z], [x], lambda z, x: term(z - x) + cp.sum_squares(z) / 2, [], [])
    centers = normal(17, 3, scale=2)
    found = layer(centers)
    assert found.shape == (17, 3)

    def value(points):
        return torch_term(points - centers) + points.square().sum(1) / 2

    for seed in range(30):
        for step in (1e-1, 1e-3):
            assert (value(found + step * normal(17, 3, seed=seed)) >= value(found) - 1e-9).all()
    assert torch.autograd.gradcheck(layer, centers[:2].detach().requires_grad_(), atol=1e-5)


def test_the_multipliers_of_constraints_with_kinks():
    """Projection onto the l1 ball and the Euclidean ball; the multiplier of the second is |x| - 1 outside it."""
    z, x = cp.Variable(3), cp.Parameter(3)
    ball = OptLayer([z], [x], lambda z, x: cp.sum_squares(z - x) / 2, [lambda z, x: cp.norm(z) - 1], [])
    latent = normal(20, 3, scale=2)
    length = latent.norm(dim=1)
    (point,), (multiplier,), () = ball.solve(latent)
    torch.testing.assert_close(point, latent / length.clamp_min(1).unsqueeze(1))
    torch.testing.assert_close(multiplier, (length - 1).clamp_min(0))
    diamond = OptLayer([z], [x], lambda z, x: cp.sum_squares(z - x) / 2, [lambda z, x: cp.norm1(z) - 1], [])
    (point,), (multiplier,), () = diamond.solve(latent)
    soft_threshold = latent.sign() * (latent.abs() - multiplier.unsqueeze(1)).clamp_min(0)
    torch.testing.assert_close(point, soft_threshold)
    outside = latent.abs().sum(1) > 1
    torch.testing.assert_close(point.abs().sum(1)[outside], torch.ones(int(outside.sum()), dtype=torch.float64))


def test_at_the_tip_of_a_norm_the_solution_does_not_move():
    z, x = cp.Variable(2), cp.Parameter(2)
    layer = OptLayer([z], [x], lambda z, x: cp.norm(z) + cp.sum_squares(z - x), [], [])
    latent = torch.tensor([[3.0, 4.0], [0.1, 0.2]], dtype=torch.float64, requires_grad=True)
    solution = layer(latent)
    torch.testing.assert_close(solution, torch.tensor([[2.7, 3.6], [0.0, 0.0]], dtype=torch.float64))
    solution.sum().backward()
    length, slope = 5.0, torch.tensor([3.0, 4.0], dtype=torch.float64)
    shrink = (torch.eye(2) - slope.outer(slope) / length**2).sum(0) / (2 * length)  # of x (1 - 1 / 2|x|)
    torch.testing.assert_close(latent.grad, torch.stack([1 - shrink, torch.zeros(2)]).double())


def test_a_solution_without_derivative_is_refused():
    z, x = cp.Variable(2), cp.Parameter(2)
    statement = build_statement([z], [x], lambda z, x: cp.sum(cp.power(z, 1.5)) - x @ z, [], [])
    points = torch.tensor([[1.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
    with pytest.raises(AvceError, match="row 1 in OptLayer is not twice differentiable at its solution"):
        KKT(statement).pull_back(points, [points], torch.ones_like(points))


@pytest.mark.parametrize("solver", ["CLARABEL", "SCS", "OSQP", "osqp", "HIGHS", "DIFFCP"])
def test_any_installed_solver_will_do(solver):
    if solver.upper() not in cp.installed_solvers():
        pytest.skip(f"{solver} is not installed")
    z, x = cp.Variable(5), cp.Parameter(5)
    layer = OptLayer(
        [z], [x], lambda z, x: cp.sum_squares(z - x), [lambda z, x: -z], [lambda z, x: cp.sum(z) - 1], solver=solver
    )
    latent, grad = normal(20, 5), normal(20, 5, seed=1).detach()
    results = [(out, *torch.autograd.grad(out, latent, grad)) for out in (layer(latent), ClosedForm()(latent)[0])]
    torch.testing.assert_close(*results)


def test_options_reach_the_solver():
    with pytest.raises(AvceError, match="row 0 in OptLayer was not solved to the tolerance"):
        box(solver="SCS", max_iters=1)(torch.zeros(1, 2))
    for solver in ("CLARABEL", "OSQP"):
        with pytest.raises(AvceError, match=rf"{solver} could not solve the problem of row 0.*no_such_option"):
            box(solver=solver, no_such_option=1)(torch.zeros(1, 2))
    with pytest.raises(AvceError, match="not solved to the tolerance"):
        OptLayerTransform("SCS", solver_options={"max_iters": 1})(normal(1, 3))


def test_a_solver_that_does_not_know_the_cones_is_named():
    with pytest.raises(AvceError, match="OSQP could not solve the problem of row 0"):
        OptLayerTransform("OSQP")(normal(1, 3))


def test_it_is_a_module():
    torch.manual_seed(0)
    z, x = cp.Variable(5), cp.Parameter(5)
    layer = OptLayer([z], [x], lambda z, x: cp.norm1(z) + cp.sum_squares(z - x), [lambda z, x: cp.norm(z) - 1], [])
    network = torch.nn.Sequential(torch.nn.Linear(3, 5), layer, torch.nn.Linear(5, 1))
    assert set(network.state_dict()) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    values = torch.randn(20, 3)
    expected = network(values)
    expected.sum().backward()
    assert network[0].weight.grad.abs().sum() > 0
    twice = copy.deepcopy(copy.deepcopy(network))
    for twin in (copy.deepcopy(network), twice, pickle.loads(pickle.dumps(network)), pickle.loads(pickle.dumps(twice))):
        assert torch.equal(twin(values), expected)


def test_a_pickle_is_read_in_another_process_that_has_variables_of_its_own(tmp_path):
    layer = capped(cp.Parameter(nonneg=True))
    values = normal(3, 2, 3).detach(), torch.full((3,), 0.5, dtype=torch.float64)
    torch.save((layer, values, layer(*values)), tmp_path / "layer.pt")
    code = (
        "import torch, cvxpy as cp; from avce_pl.feature_transform.opt_layer import OptLayer; "
        "a, b = cp.Variable(2), cp.Parameter(2); "
        "own = OptLayer([a], [b], lambda a, b: cp.norm1(a - b), [], []); "
        f"layer, values, expected = torch.load({str(tmp_path / 'layer.pt')!r}, weights_only=False); "
        "assert torch.equal(own(torch.ones(1, 2)), torch.ones(1, 2)); "
        "torch.testing.assert_close(layer(*values), expected)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("variable", "objective", "inequality", "message"),
    [
        (cp.Variable(2), lambda z, x: -cp.sum_squares(z - x), lambda z, x: -z, "is not convex"),
        (cp.Variable(2), lambda z, x: cp.sum_squares(z - x), lambda z, x: cp.sqrt(z) - 1, "is not convex"),
        (cp.Variable(2, integer=True), lambda z, x: cp.sum_squares(z - x), lambda z, x: -z, "is not convex"),
        (cp.Variable(2, nonneg=True), lambda z, x: cp.sum_squares(z - x), lambda z, x: -z, "the attribute nonneg"),
        (cp.Variable(2), lambda z, x: cp.normNuc(cp.diag(z - x)), lambda z, x: -z, "the cvxpy atom 'normNuc'"),
        (cp.Variable(2), lambda z, x: z - x, lambda z, x: -z, r"the shape \(2,\).*one element"),
        (
            cp.Variable(2),
            lambda z: cp.sum_squares(z),
            lambda z, x: -z,
            "The objective of OptLayer is called with its 2",
        ),
        (cp.Variable(2), lambda z, x: cp.vstack([z, 3 @ z]), lambda z, x: -z, "not an expression that cvxpy can build"),
        (cp.Variable(2), lambda z, x: cp.Minimize(cp.sum(z)), lambda z, x: -z, "give the expression alone"),
        (
            cp.Variable(2),
            lambda z, x: cp.sum_squares(z - x),
            lambda z, x: z >= 0,
            "Inequality 0 of OptLayer is the con",
        ),
    ],
)
def test_problems_it_cannot_differentiate_are_refused(variable, objective, inequality, message):
    with pytest.raises(AvceError, match=message):
        OptLayer([variable], [cp.Parameter(2)], objective, [inequality], [])


def test_lists_are_lists():
    z, x = cp.Variable(2), cp.Parameter(2)
    with pytest.raises(AvceError, match=r"The inequalities of OptLayer must be a list.*write \[\] for none"):
        OptLayer([z], [x], lambda z, x: cp.sum_squares(z - x), None, [])
    with pytest.raises(AvceError, match="The variables of OptLayer must be a list"):
        OptLayer(z, [x], lambda z, x: cp.sum_squares(z - x), [], [])
    with pytest.raises(AvceError, match="one parameter to differentiate by"):
        OptLayer([z], [], lambda z: cp.sum_squares(z), [], [])


def test_a_solver_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("cvxpy.installed_solvers", lambda: ["SCS"])
    with pytest.raises(AvceError, match="CLARABEL is not installed"):
        box()
