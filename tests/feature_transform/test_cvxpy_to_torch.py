import cvxpy as cp
import numpy as np
import pytest
import torch

from avce_pl.errors import AvceError
from avce_pl.feature_transform.cvxpy_to_torch import torch_function

V = cp.Variable(3)
W = cp.Variable((2, 3))
S = cp.Variable()
P = cp.Parameter(3)
LEAVES = [V, W, S, P]
GRAM = np.array([[2.0, 1.0, 0.0], [1.0, 3.0, 0.5], [0.0, 0.5, 1.0]])

EXPRESSIONS = [
    V - P + 2 * V - 1,
    -V / 4,
    cp.multiply(P, V) + S,
    V @ P,
    W @ V + W @ GRAM[0],
    W.T @ W,
    V + W,
    cp.sum(W, axis=0),
    cp.sum(W, axis=1, keepdims=True),
    cp.mean(V),
    V[1:],
    V[::-1],
    W[1, 2],
    W[:, [0, 2]],
    cp.reshape(W, (3, 2), order="F"),
    cp.reshape(W, (3, 2), order="C"),
    cp.vec(W, order="F"),
    cp.hstack([V, P, S]),
    cp.vstack([V, P]),
    cp.sum_squares(V - P),
    cp.quad_over_lin(W, S),
    cp.quad_form(V, GRAM),
    cp.quad_form(cp.reshape(V, (3, 1), order="C"), GRAM),
    cp.square(V),
    V**3 + cp.inv_pos(V) + cp.sqrt(V),
    cp.norm(V),
    cp.norm(W, 2, axis=1),
    cp.exp(V) + cp.log(V) + cp.entr(V) + cp.logistic(V),
    cp.kl_div(V, P) + cp.rel_entr(P, V),
    cp.log_sum_exp(W, axis=1),
    cp.log_sum_exp(V),
    cp.trace(W[:, :2]),
    cp.diag(V) + cp.diag(P),
    cp.cumsum(W, axis=1),
    cp.kron(GRAM, W),
    cp.diff(V),
    cp.pnorm(V, 2, approx=False) + cp.sum(cp.power(V, 3, approx=False)),
    cp.multiply(cp.abs(P), V)
    + cp.max(P)
    - cp.minimum(P, 1, P - 1)
    + cp.norm1(P) * cp.norm_inf(P)
    + cp.pos(P) * cp.min(P),
]


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=str)
def test_torch_agrees_with_cvxpy(expression):
    rng = np.random.default_rng(0)
    for leaf in LEAVES:
        leaf.value = rng.uniform(0.5, 2, leaf.shape)
    values = [torch.tensor(leaf.value, dtype=torch.float64) for leaf in LEAVES]
    actual = torch_function(expression, LEAVES)(values)
    assert actual.shape == expression.shape
    np.testing.assert_allclose(actual.numpy(), expression.value, rtol=1e-12)


def test_a_rounding_error_outside_the_domain_keeps_the_curvature():
    entropy = torch_function(cp.entr(S), [S])
    curvature = torch.func.grad(torch.func.grad(lambda x: entropy([x])))(torch.tensor(-1e-15, dtype=torch.float64))
    torch.testing.assert_close(curvature, torch.tensor(-1e12, dtype=torch.float64))


@pytest.mark.parametrize("expression", [cp.abs(S), cp.max(V), cp.norm1(V), cp.pos(S) ** 2])
def test_kinks_are_refused_by_name(expression):
    with pytest.raises(AvceError, match=r"cannot differentiate the cvxpy atom '(abs|max|norm1|maximum)'"):
        torch_function(expression, LEAVES)


def test_a_variable_that_is_not_listed_is_refused():
    with pytest.raises(AvceError, match="not in the list of its arguments"):
        torch_function(cp.sum(V), [S])
