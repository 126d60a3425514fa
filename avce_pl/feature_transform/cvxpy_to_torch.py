"""Turns a cvxpy expression into a torch function, which torch.func can batch and differentiate twice."""

from collections.abc import Callable, Sequence
from functools import reduce
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


# By class name without the suffix "Approx": cvxpy has exact and approximate variants of some atoms. Only what is twice
# differentiable inside its domain belongs here: implicit differentiation is wrong at a kink.
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
    "QuadForm": lambda node, x, matrix: (x.flatten() @ matrix @ x.flatten()).reshape(node.shape),
    "Power": lambda node, x: x ** float(node.p.value),
    "Pnorm": lambda node, x: torch.linalg.vector_norm(x, float(node.p), _axes(node, x)).reshape(node.shape),
    "exp": lambda node, x: x.exp(),
    "log": lambda node, x: _positive(x).log(),
    "entr": lambda node, x: -_positive(x) * _positive(x).log(),
    "kl_div": lambda node, x, y: _positive(x) * (_positive(x) / _positive(y)).log() - x + y,
    "rel_entr": lambda node, x, y: _positive(x) * (_positive(x) / _positive(y)).log(),
    "logistic": lambda node, x: torch.nn.functional.softplus(x),
    "log_sum_exp": lambda node, x: x.logsumexp(_axes(node, x)).reshape(node.shape),
}


# With a derivative almost everywhere; used where they take parameters only, so that no solution moves over the kink.
_KINKS: dict[str, Callable[..., Tensor]] = {
    "abs": lambda node, x: x.abs(),
    "max": lambda node, x: x.amax(_axes(node, x)).reshape(node.shape),
    "min": lambda node, x: x.amin(_axes(node, x)).reshape(node.shape),
    "maximum": lambda node, *terms: reduce(torch.maximum, terms).expand(node.shape),
    "minimum": lambda node, *terms: reduce(torch.minimum, terms).expand(node.shape),
    "norm1": lambda node, x: x.abs().sum(_axes(node, x)).reshape(node.shape),
    "norm_inf": lambda node, x: x.abs().amax(_axes(node, x)).reshape(node.shape),
}


def _linear(node: Any) -> Callable[..., Tensor] | None:
    """A linear atom of one expression and constants, such as trace or cumsum, as a product with its matrix."""
    from cvxpy.atoms.affine.affine_atom import AffAtom

    free = [position for position, argument in enumerate(node.args) if not argument.is_constant()]
    free += [
        position for position, argument in enumerate(node.args) if argument.is_constant() and argument.parameters()
    ]
    if not isinstance(node, AffAtom) or len(free) != 1:
        return None
    (position,) = free
    values = [argument.value if argument.is_constant() else None for argument in node.args]
    columns = []
    for unit in np.eye(node.args[position].size):
        values[position] = unit.reshape(node.args[position].shape)
        columns.append(np.ravel(node.numeric(values)))
    matrix = torch.from_numpy(np.array(columns, dtype=np.float64).T.copy())
    return lambda node, *arguments: (matrix @ arguments[position].reshape(-1)).reshape(node.shape)


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
    name = type(expression).__name__.removesuffix("Approx")
    if not expression.args:
        raise AvceError(f"OptLayer met the {name.lower()} {expression}, which is not in the list of its arguments.")
    atom = _ATOMS.get(name) or (_KINKS.get(name) if not expression.variables() else None) or _linear(expression)
    if atom is None:
        raise AvceError(
            f"OptLayer cannot differentiate the cvxpy atom '{name}' in {expression}. It knows kinks (abs, max, min, "
            f"pos, norm1, norm_inf, huber), the Euclidean norm and {', '.join(sorted(_ATOMS))}. "
            "Rewrite the problem with these, or use the package cvxpylayers."
        )
    arguments = [torch_function(argument, leaves) for argument in expression.args]
    return lambda values: atom(expression, *(argument(values) for argument in arguments))
