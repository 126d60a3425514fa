import copy
import pickle

import cvxpy as cp
import numpy as np
import pytest
import torch
from reference_transforms import sparsemax_row

from avce_pl.errors import AvceError
from avce_pl.feature_transform.closed_form import ClosedForm
from avce_pl.feature_transform.opt_layer import OptLayer, OptLayerTransform


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
    with pytest.raises(AvceError, match="could not solve the problem of row 1: Parameter value must be nonnegative"):
        layer(torch.tensor([[1.0, 1.0], [1.0, -1.0]]))


def test_broken_parameters_are_named():
    with pytest.raises(AvceError, match=r"OptLayer got NaN or infinite values in 1 of 2 rows \(first: row 1\)"):
        box()(torch.tensor([[0.0, 0.0], [0.0, torch.nan]]))


@pytest.mark.parametrize("shapes", [[(2, 3)], [(2,)], [], [(3, 2), (3, 2)]])
def test_tensors_that_do_not_fit_are_refused(shapes):
    with pytest.raises(ValueError, match="OptLayer expects tensors of the shapes"):
        box()(*(torch.zeros(shape) for shape in shapes))
    with pytest.raises(ValueError, match="without rows"):
        box()(torch.zeros(0, 2))


def test_a_kink_at_the_solution_is_refused_in_the_backward_pass():
    z, x = cp.Variable(2), cp.Parameter(2)
    layer = OptLayer([z], [x], lambda z, x: cp.norm(z) + cp.sum_squares(z - x), [], [])
    latent = torch.tensor([[3.0, 4.0], [0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    solution = layer(latent)
    torch.testing.assert_close(solution[0], torch.tensor([2.7, 3.6], dtype=torch.float64))
    with pytest.raises(AvceError, match="row 1 in OptLayer is not twice differentiable at its solution"):
        solution.sum().backward()


@pytest.mark.parametrize(
    ("variable", "objective", "inequality", "message"),
    [
        (cp.Variable(2), lambda z, x: -cp.sum_squares(z - x), lambda z, x: -z, "is not convex"),
        (cp.Variable(2), lambda z, x: cp.sum_squares(z - x), lambda z, x: cp.sqrt(z) - 1, "is not convex"),
        (cp.Variable(2, integer=True), lambda z, x: cp.sum_squares(z - x), lambda z, x: -z, "is not convex"),
        (cp.Variable(2, nonneg=True), lambda z, x: cp.sum_squares(z - x), lambda z, x: -z, "as an inequality"),
        (cp.Variable(2), lambda z, x: cp.norm1(z - x), lambda z, x: -z, "cannot differentiate the cvxpy atom 'norm1'"),
    ],
)
def test_problems_it_cannot_differentiate_are_refused(variable, objective, inequality, message):
    with pytest.raises(AvceError, match=message):
        OptLayer([variable], [cp.Parameter(2)], objective, [inequality], [])


def test_a_solver_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("cvxpy.installed_solvers", lambda: ["SCS"])
    with pytest.raises(AvceError, match="CLARABEL is not installed"):
        box()
