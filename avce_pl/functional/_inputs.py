"""Checks and conversions of the inputs of the loss functions."""

import math

import torch
from torch import Tensor


def real(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Bring tensors to their common floating dtype, at least float32.

    Means, variances and angles lose their last digits in half precision, so mixed precision ends here.

    Raises:
        ValueError: if a tensor is not real floating point, or is empty.
    """
    dtype = torch.float32
    for tensor in tensors:
        if not tensor.is_floating_point():
            raise ValueError(f"The losses take real floating-point tensors, not {tensor.dtype}.")
        if tensor.numel() == 0:
            raise ValueError(f"The losses need at least one sample; a tensor of shape {tuple(tensor.shape)} has none.")
        dtype = torch.promote_types(dtype, tensor.dtype)
    return tuple(tensor.to(dtype) for tensor in tensors)


def scores(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Bring similarity scores to their common dtype and to a range whose squares and sums stay finite.

    The range is ± the fourth root of the largest float32, 4e9, whatever the dtype (a float32 score beside a float64 one
    gets its gradient in float32): no similarity of trained views comes near it, and without it a single diverged
    score would turn a difference of moments into NaN.
    """
    tensors = real(*tensors)
    limit = torch.finfo(torch.float32).max ** 0.25
    return tuple(tensor.clamp(-limit, limit) for tensor in tensors)


def check_number(name: str, value: float, least: float = -math.inf, *, above: bool = False) -> None:
    """Refuse a parameter that is not finite, or is below the least value, or not above it.

    Raises:
        ValueError: if it is.
    """
    if not math.isfinite(value) or value < least or (above and value == least):
        limit = "" if least == -math.inf else f" {'above' if above else 'of at least'} {least:g}"
        raise ValueError(f"{name} must be a finite number{limit}, not {value}.")


def check_shape(shape: torch.Size, scores: Tensor) -> None:
    """Refuse weights, or scores of positive pairs, that do not fit the scores.

    Raises:
        ValueError: if the shape cannot be broadcast to the scores'.
    """
    fits = len(shape) <= scores.ndim and all(
        own in (1, other) for own, other in zip(reversed(shape), reversed(scores.shape), strict=False)
    )
    if not fits:
        raise ValueError(f"Weights or positive scores of shape {tuple(shape)} do not fit scores {tuple(scores.shape)}.")


def check_rows(*tensors: Tensor) -> None:
    """Refuse scores without a dimension of pairs.

    Raises:
        ValueError: if a tensor is a single number.
    """
    if any(tensor.ndim == 0 for tensor in tensors):
        raise ValueError("Scores need a dimension of pairs, over which expectations run; got a single number.")
