"""Angle, intensity and sign of vectors in the valence/arousal plane: the parts of the similarity f(x, y).

Every function works on the last dimension and broadcasts over the others, so that `f(x, y)` compares the rows
of two (N, k) batches one to one, (N,), and `f(x[:, None], y[None])` compares all pairs, (N, M).
Half-precision input is computed and returned in float32. Vectors without a component above the smallest
normal number count as zero vectors. NaN and infinities in the input come out as NaN.
"""

import math

import torch
from torch import Tensor

from avce_pl.functional._inputs import check_number, real


def angle(x: Tensor, y: Tensor) -> Tensor:
    """Angle between vectors, in radians.

    θ = atan2(|x₁y₂ − x₂y₁|, x·y) in the plane and θ = 2·atan2(‖u − v‖, ‖u + v‖) of the unit vectors u, v in
    more dimensions (ours: the acos of the cosine has no finite derivative at parallel vectors). The sources
    leave the angle to a zero vector open; read here: π/2, with zero gradient. At parallel and antiparallel
    vectors, where θ has a kink, the gradient is zero too.

    Args:
        x: (..., k) vectors, k ≥ 2.
        y: (..., k) vectors, broadcastable to x.

    Returns:
        (...) angles in [0, π].

    Raises:
        ValueError: if the last dimensions differ or are below 2, or the tensors are empty or not floating
        point.

    Example:
        >>> angle(torch.tensor([0.3, 0.4]), torch.tensor([[0.6, 0.8], [-0.3, -0.4], [0.0, 0.0]]))
        tensor([0.0000, 3.1416, 1.5708])
    """
    x, y = _pair(x, y)
    x, x_is_zero = _without_zeros(x)
    y, y_is_zero = _without_zeros(y)
    if x.shape[-1] == 2:
        cross = x[..., 0] * y[..., 1] - x[..., 1] * y[..., 0]
        theta = torch.atan2(cross.abs(), (x * y).sum(-1))
    else:
        u, v = x / _norm(x), y / _norm(y)
        theta = 2 * torch.atan2(_norm(u - v), _norm(u + v)).squeeze(-1)
    return torch.where(x_is_zero | y_is_zero, math.pi / 2, theta)


def intensity(x: Tensor) -> Tensor:
    """Length of vectors, the strength of an expression.

    ‖x‖ = √Σ x², without underflow or overflow on the way, and with zero gradient at the zero vector.

    Args:
        x: (..., k) vectors.

    Returns:
        (...) lengths ≥ 0; a length above the largest number of the dtype is given as that number. Vectors with an
        entry beyond half of it have no gradient: on its way it is multiplied by the length.

    Raises:
        ValueError: if the tensor is empty or not floating point.

    Example:
        >>> intensity(torch.tensor([[0.3, 0.4], [0.0, 0.0]]))
        tensor([0.5000, 0.0000])
    """
    (x,) = real(x)
    scale = _scale(x)
    x = torch.where(scale > torch.finfo(x.dtype).max / 2, x.detach(), x)
    length = _norm(x / scale) * scale
    return length.squeeze(-1).clamp(max=torch.finfo(x.dtype).max)


def direction(x: Tensor, eps: float) -> Tensor:
    """Vectors divided by their length plus eps: x / (‖x‖ + eps), the released code's safe unit vector.

    Args:
        x: (..., k) vectors.
        eps: positive; keeps the zero vector at zero.

    Returns:
        (..., k) vectors of length below 1.

    Raises:
        ValueError: if the tensor is empty or not floating point, or eps is not positive.

    Example:
        >>> direction(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), eps=1e-6)
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]])
    """
    check_number("eps", eps, 0, above=True)
    (x,) = real(x)
    scale = _scale(x)
    scaled = x / scale
    return scaled / (_norm(scaled) + eps / scale)


def angular_similarity(x: Tensor, y: Tensor) -> Tensor:
    """Agreement of two directions: 1 − θ/π (poster).

    Args:
        x: (..., k) vectors, k ≥ 2.
        y: (..., k) vectors, broadcastable to x.

    Returns:
        (...) values in [0, 1]: 1 for parallel vectors, 0 for antiparallel, ½ for a zero vector.

    Raises:
        ValueError: as `angle`.

    Example:
        >>> angular_similarity(torch.tensor([0.3, 0.4]), torch.tensor([-0.4, 0.3]))
        tensor(0.5000)
    """
    return 1 - angle(x, y) / math.pi


def official_angular_similarity(x: Tensor, y: Tensor) -> Tensor:
    """Agreement of two directions as the released code has it: 1 − ¼·acos(½cos)/π.

    cos is taken between the vectors x/(‖x‖ + 1e-8) and y/(‖y‖ + 1e-8). Halving the cosine keeps acos away
    from its infinite slopes. The released code also clamps the result to [1e-6, 1], which never acts on the
    range [5/6, 11/12]. Unlike the released norm, this one has a finite gradient at zero vectors.

    Args:
        x: (..., k) vectors, k ≥ 2.
        y: (..., k) vectors, broadcastable to x.

    Returns:
        (...) values in [5/6, 11/12], ⅞ for a zero vector.

    Raises:
        ValueError: as `angle`.

    Example:
        >>> official_angular_similarity(torch.tensor([0.3, 0.4]), torch.tensor([0.6, 0.8]))
        tensor(0.9167)
    """
    x, y = _pair(x, y)
    cosine = (direction(x, eps=1e-8) * direction(y, eps=1e-8)).sum(-1)
    return 1 - torch.acos(cosine / 2) / (4 * math.pi)


def intensity_similarity(x: Tensor, y: Tensor) -> Tensor:
    """Agreement of two intensities: 1 − |‖x‖ − ‖y‖| (released code; "angle and intensity", abstract).

    Args:
        x: (..., k) vectors, k ≥ 2.
        y: (..., k) vectors, broadcastable to x.

    Returns:
        (...) values ≤ 1.

    Raises:
        ValueError: as `angle`.

    Example:
        >>> intensity_similarity(torch.tensor([0.3, 0.4]), torch.tensor([0.6, 0.8]))
        tensor(0.5000)
    """
    x, y = _pair(x, y)
    return 1 - (intensity(x) - intensity(y)).abs()


def valence_sign_differs(x: Tensor, y: Tensor) -> Tensor:
    """Whether two vectors lie on different sides of valence zero: 1[sign x_V ≠ sign y_V].

    Zero has a sign of its own (released code): it differs from both sides and agrees with zero.

    Args:
        x: (..., k) vectors, column 0 = valence.
        y: (..., k) vectors, broadcastable to x.

    Returns:
        (...) values 0 or 1; no gradient.

    Raises:
        ValueError: as `angle`.

    Example:
        >>> y = torch.tensor([[0.1, 0.0], [-0.1, 0.0], [0.0, 0.0]])
        >>> valence_sign_differs(torch.tensor([0.3, 0.4]), y)
        tensor([0., 1., 1.])
    """
    x, y = _pair(x, y)
    return (x[..., 0].sign() != y[..., 0].sign()).to(x.dtype)


def _pair(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    if x.ndim == 0 or y.ndim == 0 or x.shape[-1] != y.shape[-1] or x.shape[-1] < 2:
        raise ValueError(
            "A similarity compares vectors of the same size k >= 2 along the last dimension; "
            f"got shapes {tuple(x.shape)} and {tuple(y.shape)}."
        )
    try:
        torch.broadcast_shapes(x.shape, y.shape)  # type: ignore[no-untyped-call]
    except RuntimeError:
        raise ValueError(f"Shapes {tuple(x.shape)} and {tuple(y.shape)} cannot be broadcast to each other.") from None
    x, y = real(x, y)
    return x, y


def _norm(x: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return norm


def _scale(x: Tensor) -> Tensor:
    """Largest component of each vector, (..., 1), 1 for zero vectors.

    Detached: what is computed from x / scale here does not depend on the scale, so neither does its gradient.
    """
    largest = x.detach().abs().amax(-1, keepdim=True)
    return torch.where(largest <= _zero(x), 1, largest)


def _without_zeros(x: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors scaled to a largest component of 1, zero ones replaced by ones, and which were, (...)."""
    is_zero = x.detach().abs().amax(-1, keepdim=True) <= _zero(x)
    return torch.where(is_zero, 1, x / _scale(x)), is_zero.squeeze(-1)


def _zero(x: Tensor) -> float:
    """Up to where a component counts as zero; float32's bound for float64 too, whose gradients may go to a float32."""
    return max(torch.finfo(x.dtype).tiny, torch.finfo(torch.float32).tiny)
