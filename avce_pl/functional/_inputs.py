"""What the loss functions do to their inputs before any mathematics."""

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

    The range is ± the fourth root of the largest number, 4e9 in float32: no similarity of trained views comes
    near it, and without it a single diverged score would turn a difference of moments into NaN.
    """
    tensors = real(*tensors)
    limit = torch.finfo(tensors[0].dtype).max ** 0.25
    return tuple(tensor.clamp(-limit, limit) for tensor in tensors)
