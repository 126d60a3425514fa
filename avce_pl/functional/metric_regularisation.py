"""Phase 2: the triplet-based regularisation ("push", "hold") of the discriminative head's features.

Half-precision features are computed and returned in float32.
"""

import torch
from torch import Tensor

from avce_pl.functional._inputs import check_number, real
from avce_pl.functional.similarity import direction, intensity


def push(positive: Tensor, negative: Tensor) -> Tensor:
    """Drive the two transformed views at least one unit apart: E relu(1 − ‖v_a − v_n‖²) (released code).

    Args:
        positive: (N, d) features v_a of the sparse view.
        negative: (N, d) features v_n of the soft view.

    Returns:
        A scalar in [0, 1]; 0 where all pairs are a unit or more apart.

    Raises:
        ValueError: if the shapes differ or are not (N, d), or a tensor is empty or not floating point.

    Example:
        >>> push(torch.tensor([[0.0, 1.0], [0.0, 1.0]]), torch.tensor([[0.5, 0.5], [0.0, 1.5]]))
        tensor(0.6250)
    """
    positive, negative = _batches(positive, negative)
    # A component a unit apart already ends the push, so the clamp changes no value; squares stay finite.
    difference = (positive - negative).clamp(-2, 2)
    return torch.relu(1 - difference.square().sum(-1)).mean()


def hold(view: Tensor, anchor: Tensor) -> Tensor:
    """Keep a transformed view in the anchor's direction: E(‖v_k/(‖v_k‖ + 1e-6) − v/(‖v‖ + 1e-6)‖ − 1).

    Released code; the − 1 shifts the value and not the gradient. Where the two directions coincide the
    gradient is zero.

    Args:
        view: (N, d) features v_k of the sparse or the soft view.
        anchor: (N, d) features v of the latent itself.

    Returns:
        A scalar in [−1, 1].

    Raises:
        ValueError: if the shapes differ or are not (N, d), or a tensor is empty or not floating point.

    Example:
        >>> hold(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 2.0]]))
        tensor(-1.0000)
    """
    view, anchor = _batches(view, anchor)
    return intensity(direction(view, 1e-6) - direction(anchor, 1e-6)).mean() - 1


def metric_regularisation_loss(anchor: Tensor, positive: Tensor, negative: Tensor, hold_weight: float = 0.01) -> Tensor:
    """Phase-2 loss: L₂ = push(v_a, v_n) + hold_weight·(hold(v_a, v) + hold(v_n, v)) (released code).

    Args:
        anchor: (N, d) features v of the latent itself.
        positive: (N, d) features v_a of the sparse view.
        negative: (N, d) features v_n of the soft view.
        hold_weight: weight of the two hold terms.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: if the shapes differ or are not (N, d), or a tensor is empty or not floating point.

    Example:
        >>> v, v_a, v_n = torch.eye(2), torch.eye(2), torch.eye(2)
        >>> metric_regularisation_loss(v, v_a, v_n)
        tensor(0.9800)
    """
    check_number("hold_weight", hold_weight)
    return push(positive, negative) + hold_weight * (hold(positive, anchor) + hold(negative, anchor))


def _batches(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    if a.ndim != 2 or a.shape != b.shape:
        raise ValueError(f"The regularisation takes (N, d) features; got {tuple(a.shape)} and {tuple(b.shape)}.")
    a, b = real(a, b)
    return a, b
