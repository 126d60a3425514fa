"""Turns a cvxpy expression into a torch function, which torch.func can batch and differentiate twice."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from avce_pl.errors import AvceError

if TYPE_CHECKING:
    import cvxpy

TorchFunction = Callable[[Sequence[Tensor]], Tensor]


def _positive(x: Tensor) -> Tensor:
    # Solvers stop at the edge of a logarithm's domain, sometimes a rounding error outside it. The value is kept
    # inside and the derivative stays 1: a plain clamp would erase the curvature there.
    return x + (x.clamp_min(1e-12) - x).detach()


def _reversed_axes(x: Tensor) -> Tensor:
    return x.permute(tuple(range(x.ndim))[::-1])


def _index(node: Any, x: Tensor) -> Tensor:
    positions = np.arange(x.numel()).reshape(x.shape)[node.get_data()[-1]]
    return x.reshape(-1)[torch.from_numpy(positions.reshape(-1).copy())].reshape(node.shape)


def _reshape(node: Any, x: Tensor) -> Tensor:
    if node.order == "C":
        return x.reshape(node.shape)
    return _reversed_axes(_reversed_axes(x).reshape(node.shape[::-1]))


def _axes(node: Any, x: Tensor) -> tuple[int, ...]:
    return tuple(range(x.ndim)) if node.axis is None else (node.axis,)


# By class name, since cvxpy has exact and approximate variants of some atoms. Only what is twice differentiable
# inside its domain belongs here: implicit differentiation is wrong at a kink.
_ATOMS: dict[str, Callable[..., Tensor]] = {
    "AddExpression": lambda node, *terms: sum(terms[1:], start=terms[0]),
    "NegExpression": lambda node, x: -x,
    "multiply": lambda node, x, y: x * y,
    "DivExpression": lambda node, x, y: x / y,
    "MulExpression": lambda node, x, y: x @ y,
    "Promote": lambda node, x: x.expand(node.shape),
    "broadcast_to": lambda node, x: x.expand(node.shape),
    "Sum": lambda node, x: x.sum(_axes(node, x)).reshape(node.shape),
    "index": _index,
    "special_index": _index,
    "reshape": _reshape,
    "transpose": lambda node, x: x.permute(node.axes) if node.axes else _reversed_axes(x),
    "Hstack": lambda node, *parts: torch.hstack(parts),
    "Vstack": lambda node, *parts: torch.vstack(parts),
    "quad_over_lin": lambda node, x, y: (x.square().sum(_axes(node, x)) / y).reshape(node.shape),
    "QuadForm": lambda node, x, matrix: x @ matrix @ x,
    "PowerApprox": lambda node, x: x ** float(node.p.value),
    "PnormApprox": lambda node, x: torch.linalg.vector_norm(x, float(node.p), _axes(node, x)).reshape(node.shape),
    "exp": lambda node, x: x.exp(),
    "log": lambda node, x: _positive(x).log(),
    "entr": lambda node, x: -_positive(x) * _positive(x).log(),
    "kl_div": lambda node, x, y: _positive(x) * (_positive(x) / _positive(y)).log() - x + y,
    "rel_entr": lambda node, x, y: _positive(x) * (_positive(x) / _positive(y)).log(),
    "logistic": lambda node, x: torch.nn.functional.softplus(x),
    "log_sum_exp": lambda node, x: x.logsumexp(_axes(node, x)).reshape(node.shape),
}


def torch_function(expression: "cvxpy.Expression", leaves: Sequence["cvxpy.Expression"]) -> TorchFunction:
    """Translate ``expression`` into a function of the values of ``leaves``, its variables and parameters.

    Args:
        expression: A cvxpy expression made of twice differentiable atoms.
        leaves: Every variable and parameter that may occur in it.

    Returns:
        A function that takes one float64 tensor per leaf, of the leaf's shape, and returns a tensor of the shape of
        ``expression``.

    Raises:
        AvceError: If the expression contains an atom without a translation, or a leaf that is not listed.
    """
    positions = [position for position, leaf in enumerate(leaves) if leaf is expression]
    if positions:
        return lambda values: values[positions[0]]
    if expression.is_constant() and not expression.parameters():
        value: Any = expression.value
        dense = value.toarray() if hasattr(value, "toarray") else value
        constant = torch.tensor(dense, dtype=torch.float64).reshape(expression.shape)
        return lambda values: constant
    name = type(expression).__name__
    if not expression.args:
        raise AvceError(f"OptLayer met the {name.lower()} {expression}, which is not in the list of its arguments.")
    if name not in _ATOMS:
        raise AvceError(
            f"OptLayer cannot differentiate the cvxpy atom '{name}' in {expression}: it is not among the twice "
            f"differentiable ones it knows ({', '.join(_ATOMS)}). Write kinks such as abs and max as inequalities "
            "with an extra variable, or use feature_transform=cvxpylayers."
        )
    atom, arguments = _ATOMS[name], [torch_function(argument, leaves) for argument in expression.args]
    return lambda values: atom(expression, *(argument(values) for argument in arguments))
