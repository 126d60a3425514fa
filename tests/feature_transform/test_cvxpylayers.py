import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from avce_pl.errors import AvceError
from avce_pl.feature_transform import problems
from avce_pl.feature_transform.closed_form import ClosedForm
from avce_pl.feature_transform.cvxpylayers import CvxpyLayers
from tests.support.reference_transforms import capped_simplex_row

# cvxpylayers hands tensors to numpy in a way that numpy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PROBLEMS = "avce_pl.feature_transform.problems:"


@pytest.fixture
def transform():
    return CvxpyLayers(PROBLEMS + "sparsemax", PROBLEMS + "softmax")


@pytest.fixture
def latent():
    return torch.randn(16, 32, generator=torch.Generator().manual_seed(0)).relu().mul(3).requires_grad_()


def test_it_agrees_with_the_closed_form(transform, latent):
    grad = torch.randn(16, 32, generator=torch.Generator().manual_seed(1))
    for ours, exact in zip(transform(latent), ClosedForm()(latent), strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, exact, atol=1e-5, rtol=0)
        actual, expected = (torch.autograd.grad(output, latent, grad)[0] for output in (ours, exact))
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)


def test_it_works_under_autocast(transform, latent):
    latent = latent.detach().bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sparse, soft = transform(latent)
        (sparse + soft).square().sum().backward()
    assert sparse.dtype == soft.dtype == latent.grad.dtype == torch.bfloat16
    torch.testing.assert_close(sparse, ClosedForm()(latent)[0])


def test_it_copies_and_pickles_after_a_solve_and_adds_nothing_to_a_module(transform, latent):
    expected, _ = transform(latent)
    module = torch.nn.Module()
    module.transform = transform
    assert not module.state_dict()
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(twin.transform(latent)[0], expected)


def test_a_problem_of_ones_own(latent):
    transform = CvxpyLayers(PROBLEMS + "capped_simplex", PROBLEMS + "softmax")
    sparse, _ = transform(latent)
    expected = [capped_simplex_row(row, 4 / 32) for row in latent.detach().numpy()]
    assert (sparse > 0.124).any()
    np.testing.assert_allclose(sparse.detach().numpy(), expected, atol=1e-5)
    # Where an entry is capped and where it is zero, it does not move; the others share what comes in.
    free = (sparse > 1e-4) & (sparse < 0.1249)
    grad = torch.randn(16, 32, generator=torch.Generator().manual_seed(1))
    expected_grad = free * (grad - (grad * free).sum(1, keepdim=True) / free.sum(1, keepdim=True).clamp_min(1))
    torch.testing.assert_close(torch.autograd.grad(sparse, latent, grad)[0], expected_grad, atol=1e-5, rtol=0)


def test_broken_latents_are_named(transform, latent):
    latent = latent.detach().clone()
    latent[5, 0], latent[7, 1] = torch.nan, torch.inf
    with pytest.raises(AvceError, match=r"NaN or infinite values in 2 of 16 rows \(first: row 5\)"):
        transform(latent)


def capped(latent):
    return torch.from_numpy(np.array([capped_simplex_row(row, 4 / 32) for row in latent.detach().numpy()]))


@pytest.mark.parametrize("solver", ["SCS", "CLARABEL"])
@pytest.mark.parametrize("scale", [0, 10, 100, 1000])
def test_large_latents_are_solved_as_exactly_as_small_ones(solver, scale, caplog):
    """Latents end in ReLU, so trainings have zeros beside entries near 100; the last rows are equal and one-hot."""
    tolerance = 1e-8 if solver == "SCS" else 1e-12
    latent = torch.randn(6, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64).relu() * scale
    latent[4], latent[5, 1:] = scale, 0
    for name, exact in (("sparsemax", ClosedForm()(latent)[0]), ("capped_simplex", capped(latent))):
        transform = CvxpyLayers(PROBLEMS + name, PROBLEMS + "softmax", solver, tolerance)
        sparse, soft = transform(latent)
        torch.testing.assert_close(sparse, exact, atol=1e-5, rtol=0)
        torch.testing.assert_close(soft, latent.softmax(1), atol=1e-5, rtol=0)
        assert transform.inexact_rows == 0
    assert not any("inexact" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("name", ["sparsemax", "capped_simplex"])
def test_gradients_at_large_latents(name):
    latent = torch.randn(16, 32, generator=torch.Generator().manual_seed(2), dtype=torch.float64).relu() * 100
    latent.requires_grad_()
    sparse, soft = CvxpyLayers(PROBLEMS + name, PROBLEMS + "softmax")(latent)
    grad = torch.randn(16, 32, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    cap = 1.0 if name == "sparsemax" else 4 / 32
    free = (sparse > 1e-4) & (sparse < cap - 1e-4)
    expected = free * (grad - (grad * free).sum(1, keepdim=True) / free.sum(1, keepdim=True).clamp_min(1))
    torch.testing.assert_close(torch.autograd.grad(sparse, latent, grad)[0], expected, atol=1e-5, rtol=0)
    exact = latent.softmax(1)
    actual, expected = (torch.autograd.grad(output, latent, grad)[0] for output in (soft, exact))
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)


def _with_another_variable(size):
    """SparseMax with the squared length as a variable of its own, and a kink in a constraint that changes nothing."""
    import cvxpy as cp

    latent, point, square = cp.Parameter(size), cp.Variable(size), cp.Variable(size)
    bounds = [point >= 0, cp.sum(point) == 1, cp.square(point) <= square, square <= 2, cp.norm_inf(point) <= 2]
    return cp.Problem(cp.Minimize(cp.sum(square) - 2 * latent @ point), bounds), latent, point


def test_a_problem_may_have_other_variables_and_kinks(latent, monkeypatch):
    monkeypatch.setattr(problems, "_with_another_variable", _with_another_variable, raising=False)
    monkeypatch.setattr(_with_another_variable, "__module__", problems.__name__)
    transform = CvxpyLayers(PROBLEMS + "_with_another_variable", PROBLEMS + "softmax")
    torch.testing.assert_close(transform(latent)[0], ClosedForm()(latent)[0], atol=1e-5, rtol=0)
    assert transform.inexact_rows == 0


def _badly_scaled(size):
    import cvxpy as cp

    latent, point = cp.Parameter(size), cp.Variable(size)
    problem = cp.Problem(cp.Minimize(cp.sum_squares(point - latent)), [point >= 0, cp.sum(point) == 1])
    return problem, latent, point


def test_inexact_rows_are_counted_and_said_once(latent, monkeypatch, caplog):
    monkeypatch.setattr(problems, "_badly_scaled", _badly_scaled, raising=False)
    monkeypatch.setattr(_badly_scaled, "__module__", problems.__name__)
    transform = CvxpyLayers(PROBLEMS + "_badly_scaled", PROBLEMS + "sparsemax")
    transform(latent)
    assert (transform.inexact_rows, caplog.records) == (0, [])
    latent = torch.cat([latent[:2].detach() / 3, torch.tensor([4.0, 1, 2] + 29 * [0.0]).expand(3, 32) * 100])
    exact = ClosedForm()(latent)[0]
    sparse, _ = transform(latent)
    count = transform.inexact_rows
    assert 0 < count <= 3
    torch.testing.assert_close(sparse[:2], exact[:2], atol=1e-5, rtol=0)
    for _ in range(2):
        transform(latent)
    assert transform.inexact_rows == 3 * count
    (record,) = caplog.records
    assert f"{count} of 5 rows of '{PROBLEMS}_badly_scaled' are inexact" in record.getMessage()


def test_a_row_whose_gradient_diffcp_gets_wrong_has_that_of_opt_layer(transform, caplog):
    latent = torch.tensor([[0.0, 1.0, 16.0], [0.0, 1.0, 2.0], [90.0, 0.0, 91.0]], dtype=torch.float64)
    latent.requires_grad_()
    for _ in range(2):
        soft = transform(latent)[1]
    torch.testing.assert_close(soft, latent.softmax(1), atol=1e-6, rtol=0)
    grad = torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 0.0], [1.0, 0.0, 3.0]], dtype=torch.float64)
    got = torch.autograd.grad(soft, latent, grad)[0]
    expected = torch.autograd.grad(latent.softmax(1), latent, grad)[0]
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)
    (record,) = caplog.records
    assert f"2 of 3 rows of '{PROBLEMS}softmax' have: they are solved by OptLayer" in record.getMessage()


def _entropy_with_a_cone(size):
    """SoftMax with a constraint that changes nothing, and that OptLayer does not take in this form."""
    import cvxpy as cp

    problem, latent, point = problems.softmax(size)
    return cp.Problem(problem.objective, [*problem.constraints, cp.SOC(cp.Constant(2), point)]), latent, point


def test_a_row_without_a_right_gradient_has_none_and_the_others_have_theirs(monkeypatch, caplog):
    monkeypatch.setattr(problems, "_entropy_with_a_cone", _entropy_with_a_cone, raising=False)
    monkeypatch.setattr(_entropy_with_a_cone, "__module__", problems.__name__)
    latent = torch.tensor([[0.0, 1.0, 16.0], [0.0, 1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    soft = CvxpyLayers(PROBLEMS + "_entropy_with_a_cone", PROBLEMS + "sparsemax")(latent)[0]
    torch.testing.assert_close(soft, latent.softmax(1), atol=1e-5, rtol=0)
    grad = torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 0.0]], dtype=torch.float64)
    got = torch.autograd.grad(soft, latent, grad)[0]
    expected = torch.autograd.grad(latent.softmax(1), latent, grad)[0]
    torch.testing.assert_close(got, expected * torch.tensor([[0.0], [1.0]]), atol=1e-5, rtol=0)
    (record,) = caplog.records
    assert "1 of 2 rows" in record.getMessage()
    assert "get no gradient" in record.getMessage()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("os:system", "is not allowed"),
        ("avce_pl_evil.module:function", "is not allowed"),
        ("avce_pl.nowhere:function", "cannot be imported"),
        ("avce_pl.feature_transform.problems:nothing", "cannot be imported"),
        ("avce_pl.feature_transform.problems", "cannot be imported"),
        ("avce_pl.feature_transform.opt_layer:lru_cache", "not a function defined in"),
    ],
)
def test_what_a_problem_may_be(path, message, latent):
    with pytest.raises(AvceError, match=message):
        CvxpyLayers(path, path)(latent)


def _not_convex(size):
    import cvxpy as cp

    problem, latent, point = problems.sparsemax(size)
    return cp.Problem(cp.Minimize(-problem.objective.args[0]), problem.constraints), latent, point


def _infeasible(size):
    import cvxpy as cp

    problem, latent, point = problems.sparsemax(size)
    return cp.Problem(problem.objective, [*problem.constraints, cp.sum(point) >= 2]), latent, point


def _wrong_size(size):
    return problems.sparsemax(size + 1)


@pytest.mark.parametrize("solver", ["SCS", "CLARABEL"])
@pytest.mark.parametrize(
    ("function", "message"),
    [(_not_convex, "is not convex"), (_infeasible, "found no solution"), (_wrong_size, r"\(33,\) and \(33,\)")],
)
def test_what_a_problem_must_be(function, message, solver, latent, monkeypatch):
    monkeypatch.setattr(problems, function.__name__, function, raising=False)
    monkeypatch.setattr(function, "__module__", problems.__name__)
    path = PROBLEMS + function.__name__
    with pytest.raises(AvceError, match=message):
        CvxpyLayers(path, path, solver)(latent[:1])


def test_a_solver_that_is_not_installed_is_named(latent, monkeypatch):
    monkeypatch.setattr("cvxpy.installed_solvers", lambda: ["SCS"])
    with pytest.raises(AvceError, match="ECOS is not installed"):
        CvxpyLayers(PROBLEMS + "sparsemax", PROBLEMS + "softmax", solver="ECOS")(latent)


def test_cvxpy_is_imported_at_the_first_solve_only():
    code = (
        "import sys, avce_pl.feature_transform.cvxpylayers, avce_pl.feature_transform.opt_layer; "
        "sys.exit('cvxpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
