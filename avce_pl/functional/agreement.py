"""Correlation and concordance of a batch, and the losses made of them (phase 1).

Half-precision batches are computed and returned in float32. Constant batches and a batch of one have
correlation and concordance 0 with finite gradients.
"""

import torch
from torch import Tensor

from avce_pl.functional._inputs import real

# Variance below which a batch counts as constant. Large enough that rounding noise of a constant float32
# batch does not pass for correlation; the official form has no such term and gets one that changes no digit.
_EPS = 1e-8
_EPS_OFFICIAL = 1e-16


def pcc(x: Tensor, y: Tensor, *, official: bool = False) -> Tensor:
    """Pearson correlation coefficient over the batch: Cov(x, y) / √((Var x + ε)(Var y + ε)).

    Supplement, section 3, with population moments. The released training loss divides the population
    covariance by sample standard deviations (N − 1), so a perfect batch reaches (N − 1)/N only:
    `official=True`.

    Args:
        x: (N,) or (N, k) values.
        y: values of the same shape.
        official: use the released code's moments.

    Returns:
        Scalar or (k,) in [−1, 1].

    Raises:
        ValueError: if the shapes differ or are not (N,) or (N, k), or a tensor is empty or not floating
        point.

    Example:
        >>> pcc(torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.2, 0.4, 0.6]))
        tensor(1.0000)
    """
    x, y = _batches(x, y)
    # Beyond unit size each batch is scaled first: the correlation does not see it, and squares stay finite.
    variance_x, variance_y, covariance = _second_moments(x / _size(x), y / _size(y), official)
    eps = _EPS_OFFICIAL if official else _EPS
    return covariance / ((variance_x + eps).sqrt() * (variance_y + eps).sqrt())


def ccc(x: Tensor, y: Tensor, *, official: bool = False) -> Tensor:
    """Concordance correlation coefficient over the batch: 2·Cov(x, y) / (Var x + Var y + (E x − E y)² + 2ε).

    Supplement, section 3, with population moments; `official=True` as in `pcc`: sample variances in the
    denominator.

    Args:
        x: (N,) or (N, k) values.
        y: values of the same shape.
        official: use the released code's moments.

    Returns:
        Scalar or (k,) in [−1, 1].

    Raises:
        ValueError: if the shapes differ or are not (N,) or (N, k), or a tensor is empty or not floating
        point.

    Example:
        >>> ccc(torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.2, 0.4, 0.6]))
        tensor(0.3636)
    """
    x, y = _batches(x, y)
    size = torch.maximum(_size(x), _size(y))
    x, y = x / size, y / size
    variance_x, variance_y, covariance = _second_moments(x, y, official)
    eps = _EPS_OFFICIAL if official else _EPS
    return 2 * covariance / (variance_x + variance_y + (x.mean(0) - y.mean(0)).square() + 2 * eps)


def pcc_loss(prediction: Tensor, label: Tensor, *, official: bool = False) -> Tensor:
    """One minus the mean Pearson correlation of valence and arousal; phase 1 adds ½ of it.

    Args:
        prediction: (N, 2) valence and arousal.
        label: (N, 2) valence and arousal.
        official: use the released code's moments, see `pcc`.

    Returns:
        A scalar in [0, 2].

    Raises:
        ValueError: as `pcc`.

    Example:
        >>> label = torch.tensor([[0.1, -0.3], [0.5, 0.2]])
        >>> pcc_loss(-label, label)
        tensor(2.0000)
    """
    return 1 - pcc(prediction, label, official=official).mean()


def ccc_loss(prediction: Tensor, label: Tensor, *, official: bool = False) -> Tensor:
    """One minus the mean concordance of valence and arousal; phase 1 adds ½ of it.

    Args:
        prediction: (N, 2) valence and arousal.
        label: (N, 2) valence and arousal.
        official: use the released code's moments, see `pcc`.

    Returns:
        A scalar in [0, 2].

    Raises:
        ValueError: as `ccc`.

    Example:
        >>> label = torch.tensor([[0.1, -0.3], [0.5, 0.2]])
        >>> ccc_loss(torch.zeros(2, 2), label)
        tensor(1.)
    """
    return 1 - ccc(prediction, label, official=official).mean()


def _batches(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    if x.ndim not in (1, 2) or x.shape != y.shape:
        raise ValueError(
            f"Agreement is measured between batches of one shape, (N,) or (N, k); "
            f"got {tuple(x.shape)} and {tuple(y.shape)}."
        )
    x, y = real(x, y)
    return x, y


def _size(x: Tensor) -> Tensor:
    return x.detach().abs().amax(0).clamp(min=1)


def _second_moments(x: Tensor, y: Tensor, official: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Variance of x, variance of y and the covariance, along the batch."""
    dx, dy = x - x.mean(0), y - y.mean(0)
    freedom = max(len(x) - 1, 1) / len(x) if official else 1.0
    return dx.square().mean(0) / freedom, dy.square().mean(0) / freedom, (dx * dy).mean(0)
