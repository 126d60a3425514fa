"""The losses of other published systems, which Tables 1 and 3 train beside AVCE.

Half-precision inputs are computed and returned in float32. Written from the formulas of the papers and of public code,
which each docstring names; where they disagree, it says which reading was taken.
"""

import torch
from torch import Tensor

from avce_pl.functional._inputs import check_number, real
from avce_pl.functional.agreement import ccc, ccc_loss, pcc_loss


def shaken_loss(prediction: Tensor, label: Tensor, weights: Tensor) -> Tensor:
    """RMSE, PCC and CCC losses in a proportion that changes with every batch (Kossaifi et al., CVPR 2020).

    (α·L_RMSE + β·L_PCC + γ·L_CCC) / (α + β + γ) with L_RMSE = RMSE_V + RMSE_A, L_PCC = 1 − mean PCC and
    L_CCC = 1 − mean CCC; α, β, γ are drawn from U(0, 1) for each batch.

    Args:
        prediction: (N, 2) valence and arousal.
        label: (N, 2) valence and arousal.
        weights: (3,) α, β, γ, not negative and not all 0.

    Returns:
        A non-negative scalar. Its gradient is 0 where a column is predicted exactly.

    Raises:
        ValueError: if shapes or weights are wrong, or a tensor is empty or not floating point.

    Example:
        >>> label = torch.tensor([[0.1, 0.2], [0.5, -0.1], [-0.3, 0.4], [0.8, 0.0]])
        >>> prediction = torch.tensor([[0.2, 0.1], [0.4, 0.0], [-0.1, 0.3], [0.6, 0.2]])
        >>> shaken_loss(prediction, label, torch.tensor([0.2, 0.5, 0.3]))
        tensor(0.1878)
    """
    prediction, label = _pair(prediction, label)
    (weights,) = real(weights)
    if weights.shape != (3,) or not weights.isfinite().all() or weights.min() < 0 or weights.max() == 0:
        raise ValueError("The three weights of RMSE, PCC and CCC must be finite, not negative and not all 0.")
    weights = weights.to(prediction.dtype) / weights.max()
    # scaled before the squares, so that they stay finite; the square root of 0 has no gradient
    error = prediction - label
    size = error.detach().abs().amax(0).clamp(min=torch.finfo(error.dtype).tiny)
    square = (error / size).square().mean(0)
    root = torch.where(square > 0, square.clamp(min=1e-30).sqrt(), square)
    parts = torch.stack([(size * root).sum(), pcc_loss(prediction, label), ccc_loss(prediction, label)])
    return (weights * parts).sum() / weights.sum()


def cage_loss(prediction: Tensor, label: Tensor) -> Tensor:
    """3·MSE_V + 3·MSE_A − CCC_V − CCC_A (Wagner et al., CAGE, CVPR Workshops 2024; public code).

    Args:
        prediction: (N, 2) valence and arousal.
        label: (N, 2) valence and arousal.

    Returns:
        A scalar, −2 for a perfect batch.

    Raises:
        ValueError: if the shapes differ or are not (N, 2), or a tensor is empty or not floating point.

    Example:
        >>> label = torch.tensor([[0.1, 0.2], [0.5, -0.1], [-0.3, 0.4], [0.8, 0.0]])
        >>> prediction = torch.tensor([[0.2, 0.1], [0.4, 0.0], [-0.1, 0.3], [0.6, 0.2]])
        >>> cage_loss(prediction, label)
        tensor(-1.4178)
    """
    prediction, label = _pair(prediction, label)
    error = (prediction - label).clamp(-1e15, 1e15)  # squares stay finite
    return (3 * error.square().mean(0) - ccc(prediction, label)).sum()


def locality_loss(feature: Tensor, target: Tensor, neighbours: int = 20) -> Tensor:
    """Pull a feature to its nearest of the same class (Li, Deng & Du, DLP-CNN, CVPR 2017).

    ½ E ‖x_i − c_i‖², c_i the mean of the k nearest features of the same class in the batch, without gradient; the
    mean of all others where there are fewer. A face that is alone in its class adds 0. The paper sums over the batch;
    the mean is our reading.

    Args:
        feature: (N, d) features x.
        target: (N,) classes.
        neighbours: k, 1 or more.

    Returns:
        A non-negative scalar.

    Raises:
        ValueError: if the shapes do not fit, k is not positive, or a tensor is empty or of the wrong type.

    Example:
        >>> feature = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [3.0, 3.0], [4.0, 3.0]])
        >>> locality_loss(feature, torch.tensor([0, 0, 0, 1, 1]), neighbours=2)
        tensor(0.9500)
    """
    if neighbours < 1:
        raise ValueError(f"neighbours must be 1 or more, not {neighbours}.")
    feature = _features(feature, target)
    constant = feature.detach()
    # the limit keeps squares of diverged features finite
    distance = torch.cdist(constant, constant, compute_mode="donot_use_mm_for_euclid_dist").clamp(max=1e18)
    others = (target[:, None] == target[None]) & ~torch.eye(len(feature), dtype=torch.bool, device=feature.device)
    nearest = distance.masked_fill(~others, torch.inf).argsort(dim=1, stable=True)[:, :neighbours]
    used = others.gather(1, nearest).to(feature.dtype)
    count = used.sum(1)
    mean = (constant[nearest] * (used / count.clamp(min=1)[:, None])[..., None]).sum(1)
    return 0.5 * ((feature - mean).clamp(-1e15, 1e15).square().sum(1) * (count > 0)).mean()


def attentive_centre_loss(feature: Tensor, attention: Tensor, centres: Tensor, target: Tensor) -> Tensor:
    """Pull a feature to its class's centre, where attention says so (Farzaneh & Qi, DACL, WACV 2021; public code).

    (1/2) E Σ_d A_id (f_id − c_{y_i d})². Gradients flow into features and attention; `step_centres` moves the centres.

    Args:
        feature: (N, d) features f.
        attention: (N, d) weights A in [0, 1].
        centres: (classes, d) centres c.
        target: (N,) classes y.

    Returns:
        A non-negative scalar.

    Raises:
        ValueError: if the shapes do not fit, or a tensor is empty or of the wrong type.

    Example:
        >>> feature = torch.tensor([[1.0, 2.0], [0.0, -1.0], [3.0, 0.0]])
        >>> attention = torch.tensor([[0.5, 1.0], [0.2, 0.8], [1.0, 0.0]])
        >>> centres = torch.tensor([[0.0, 1.0], [2.0, 0.0]])
        >>> attentive_centre_loss(feature, attention, centres, torch.tensor([0, 1, 1]))
        tensor(0.6833)
    """
    feature, attention, centres = _centred(feature, attention, centres, target)
    distance = (feature - centres.detach()[target]).clamp(-1e15, 1e15).square()
    return 0.5 * (attention * distance).sum(1).mean()


def step_centres(feature: Tensor, attention: Tensor, centres: Tensor, target: Tensor, rate: float = 0.5) -> Tensor:
    """The centres of `attentive_centre_loss` after a batch: c_j − α Σ_{i: y_i = j} A_i (c_j − f_i) / (1 + n_j).

    Args:
        feature: (N, d) features f.
        attention: (N, d) weights A in [0, 1].
        centres: (classes, d) centres c.
        target: (N,) classes y.
        rate: α, at least 0.

    Returns:
        (classes, d) new centres, without gradient.

    Raises:
        ValueError: as `attentive_centre_loss`, or if the rate is negative or not finite.

    Example:
        >>> feature = torch.tensor([[1.0, 2.0], [0.0, -1.0], [3.0, 0.0]])
        >>> attention = torch.tensor([[0.5, 1.0], [0.2, 0.8], [1.0, 0.0]])
        >>> step_centres(feature, attention, torch.tensor([[0.0, 1.0], [2.0, 0.0]]), torch.tensor([0, 1, 1]))
        tensor([[ 0.1250,  1.2500],
                [ 2.1000, -0.1333]])
    """
    check_number("rate", rate, 0)
    feature, attention, centres = (part.detach() for part in _centred(feature, attention, centres, target))
    counts = torch.bincount(target, minlength=len(centres)).to(centres.dtype)
    # divided before it is added up, so that the sum stays finite
    pull = attention * (centres[target] - feature).clamp(-1e30, 1e30) / (1 + counts[target])[:, None]
    return centres - rate * torch.zeros_like(centres).index_add(0, target, pull)


def region_bias_loss(attention: Tensor, margin: float = 0.02) -> Tensor:
    """Push one crop's weight above that of the whole face (Wang et al., RAN, TIP 2020): E relu(m − (max_k μ_k − μ_0)).

    Args:
        attention: (N, k + 1) weights μ of k crops and, in the last column, of the whole face μ_0.
        margin: m.

    Returns:
        A non-negative scalar.

    Raises:
        ValueError: if there is no crop, a tensor is empty or not floating point, or the margin is not finite.

    Example:
        >>> region_bias_loss(torch.tensor([[0.6, 0.4, 0.6], [0.5, 0.6, 0.65]]))
        tensor(0.0450)
    """
    check_number("margin", margin)
    if attention.ndim != 2 or attention.shape[1] < 2:
        raise ValueError(
            f"The weights of crops and whole face must be (N, k + 1), k > 0, not {tuple(attention.shape)}."
        )
    (attention,) = real(attention)
    attention = attention.clamp(-1e30, 1e30)
    return torch.relu(margin - (attention[:, :-1].amax(1) - attention[:, -1])).mean()


def _pair(prediction: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    if prediction.ndim != 2 or prediction.shape[1:] != (2,) or prediction.shape != label.shape:
        raise ValueError(
            f"Predictions and labels must be of one shape (N, 2), not {tuple(prediction.shape)} and "
            f"{tuple(label.shape)}."
        )
    prediction, label = real(prediction, label)
    return prediction, label


def _features(feature: Tensor, target: Tensor) -> Tensor:
    if feature.ndim != 2 or target.shape != feature.shape[:1] or target.dtype != torch.int64:
        raise ValueError(
            f"Features must be (N, d) and classes (N,) int64, not {tuple(feature.shape)} and {tuple(target.shape)} "
            f"{target.dtype}."
        )
    (feature,) = real(feature)
    return feature


def _centred(feature: Tensor, attention: Tensor, centres: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    _features(feature, target)
    if attention.shape != feature.shape or centres.ndim != 2 or centres.shape[1] != feature.shape[1]:
        raise ValueError(
            f"Attention must have the features' shape {tuple(feature.shape)} and centres as many columns, not "
            f"{tuple(attention.shape)} and {tuple(centres.shape)}."
        )
    if target.min() < 0 or target.max() >= len(centres):
        raise ValueError(f"Classes must lie within 0 and {len(centres) - 1}, one for each centre.")
    feature, attention, centres = real(feature, attention, centres)
    return feature, attention.clamp(-1e6, 1e6), centres
