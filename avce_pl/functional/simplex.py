"""SparseMax, the Euclidean projection onto the probability simplex.

Its companion SoftMax, the entropy-regularised projection, is ``torch.softmax``.
"""

from typing import Any

import torch
from torch import Tensor


class _SparseMax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, latent: Tensor) -> Tensor:
        # Entries more than 1 below the largest are never in the support, so subtracting the maximum first keeps
        # the cumulative sums that matter small, however large the latent.
        shifted = latent - latent.amax(-1, keepdim=True)
        cumulative = shifted.sort(-1, descending=True).values.cumsum(-1)
        sizes = torch.arange(1, latent.shape[-1] + 1, dtype=latent.dtype, device=latent.device)
        threshold = cumulative.sub_(1).div_(sizes).amax(-1, keepdim=True)
        sparse = shifted.sub_(threshold).clamp_min_(0)
        ctx.save_for_backward(sparse)
        return sparse

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (sparse,) = ctx.saved_tensors
        # `sign` and not `> 0`: NaN rows keep NaN gradients. Detached: the support is locally constant.
        support = sparse.detach().sign()
        grad = grad * support
        mean = grad.sum(-1, keepdim=True) / support.sum(-1, keepdim=True)
        return torch.addcmul(grad, support, mean, value=-1)


def sparsemax(latent: Tensor) -> Tensor:
    """Euclidean projection of each row onto the probability simplex.

    ``Sp(z) = argmin_{p ∈ Δ} ‖p − z‖²`` (Eq. (1), supplement), in closed form ``p_i = max(z_i − τ, 0)`` with
    ``τ = max_k (z_(1) + … + z_(k) − 1) / k`` over the entries sorted in descending order. With ``S`` the support
    of ``p``, the gradient is ``g_i − mean_S g`` on ``S`` and zero outside; an entry exactly on the boundary of
    the support counts as outside. Differentiable twice. Half-precision input is computed in float32, with
    autocast or without, and only the result is rounded.

    A row with NaN or +inf comes out as NaN, never as a wrong point of the simplex; an entry of -inf gets
    probability zero, as in ``torch.softmax``. Under ``torch.autograd.set_detect_anomaly(True)`` (Lightning:
    ``Trainer(detect_anomaly=True)``) every non-finite entry is an error; the check is off otherwise because it
    makes the host wait for a GPU at every step.

    Args:
        latent: Floating-point tensor of shape ``(..., d)``, ``d ≥ 1``.

    Returns:
        Tensor of the shape and dtype of ``latent``; entries in [0, 1], each row sums to 1.

    Raises:
        ValueError: If ``latent`` is not a floating-point tensor with a non-empty last dimension; in anomaly mode
            also if it has a non-finite entry.

    Example:
        >>> import torch
        >>> sparsemax(torch.tensor([1.1, 0.9, 0.6, 0.2, 0.0]))
        tensor([0.5667, 0.3667, 0.0667, 0.0000, 0.0000])
    """
    if not latent.is_floating_point() or latent.ndim == 0 or latent.shape[-1] == 0:
        raise ValueError(
            "sparsemax expects a floating-point tensor with a non-empty last dimension, "
            f"but got shape {tuple(latent.shape)} of {latent.dtype}."
        )
    if not torch.compiler.is_compiling() and torch.is_anomaly_enabled():
        broken = int(latent.isfinite().logical_not().sum())
        if broken:
            raise ValueError(
                f"sparsemax got {broken} NaN or infinite entries in a latent of shape {tuple(latent.shape)}; "
                "they have no projection onto the simplex."
            )
    computed: Tensor = _SparseMax.apply(latent.float() if latent.dtype.itemsize < 4 else latent)
    return computed.to(latent.dtype)
