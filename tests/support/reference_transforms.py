"""Slow, obvious re-implementations that the transforms and metrics are checked against (numpy, float64)."""

import numpy as np


def _bisect(mass, low, high):
    """The threshold at which a decreasing function crosses 1."""
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if mass(middle) > 1 else (low, middle)
    return (low + high) / 2


def sparsemax_row(z):
    """Projection onto the simplex by bisection for the threshold, polished on the support it finds."""
    z = np.asarray(z, dtype=np.float64)
    threshold = _bisect(lambda t: np.maximum(z - t, 0).sum(), z.max() - 1, z.max())
    support = z > threshold
    return np.maximum(z - (z[support].sum() - 1) / support.sum(), 0)


def sparsemax_row_vjp(z, grad):
    """The gradient of ⟨grad, sparsemax(z)⟩, written out as the Jacobian matrix of the support."""
    support = (sparsemax_row(z) > 0).astype(np.float64)
    jacobian = np.diag(support) - np.outer(support, support) / support.sum()
    return jacobian @ grad


def capped_simplex_row(z, cap):
    """Projection onto the simplex with entries of at most ``cap``, by bisection."""
    z = np.asarray(z, dtype=np.float64)
    threshold = _bisect(lambda t: np.clip(z - t, 0, cap).sum(), z.min() - 1, z.max())
    return np.clip(z - threshold, 0, cap)


def agreement(prediction, target):
    """Pooled RMSE, SAGR, PCC and CCC of one axis, two passes, population moments."""
    deviation_p, deviation_t = prediction - prediction.mean(), target - target.mean()
    covariance = (deviation_p * deviation_t).mean()
    variance_p, variance_t = (deviation_p**2).mean(), (deviation_t**2).mean()
    return {
        "rmse": np.sqrt(((prediction - target) ** 2).mean()),
        "sagr": (np.sign(prediction) == np.sign(target)).mean(),
        "pcc": covariance / np.sqrt(variance_p * variance_t),
        "ccc": 2 * covariance / (variance_p + variance_t + (prediction.mean() - target.mean()) ** 2),
    }


def official_agreement(prediction, target, batch_size):
    """The same four numbers as the released evaluation has them."""
    pooled, n = agreement(prediction, target), len(prediction)
    batches = [slice(start, start + batch_size) for start in range(0, n, batch_size)]
    return {
        "rmse": np.mean([np.sqrt(((prediction[b] - target[b]) ** 2).mean()) for b in batches]),
        "sagr": np.mean([np.sign(p) == np.sign(t) and t != 0 for p, t in zip(prediction, target, strict=True)]),
        "pcc": pooled["pcc"] * n / (n - 1),
        "ccc": pooled["ccc"] * n / (n - 1),
    }
