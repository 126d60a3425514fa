"""Contrastive objectives over similarity scores: AVCE, InfoNCE, Barlow Twins.

Scores are similarities f of positive pairs (x_i, y_a,i) ~ P_XY and negative pairs (x_i, y_n,i) ~ P_X P_Y.
Scores beyond ±4e9 (float32) are taken as that, so that no finite score makes a loss NaN.
"""

import math

import torch
from torch import Tensor

from avce_pl.functional._inputs import check_number, check_rows, check_shape, real, scores
from avce_pl.functional.negatives import UNIFORM, NegativeWeights, log_negative_mean_exp, negative_mean


def views_of_next_face(positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
    """Both views of each face replaced by those of another face of the batch: a control without information.

    Row i receives the views of row i − 1, the first row those of the last, so y_a,i and y_n,i still belong
    together and have the distribution they had, but say nothing about x_i. No random draws: batches are
    shuffled already.

    Args:
        positive: (N, k) views y_a.
        negative: (N, k) views y_n.

    Returns:
        Both views, rolled by one row. A batch of one has no other face and keeps its own.

    Raises:
        ValueError: if a tensor is a single number.

    Example:
        >>> views_of_next_face(torch.tensor([[1.0], [2.0], [3.0]]), torch.zeros(3, 1))[0].flatten()
        tensor([3., 1., 2.])
    """
    check_rows(positive, negative)
    return positive.roll(1, 0), negative.roll(1, 0)


def scores_of_other_faces(scores: Tensor) -> Tensor:
    """Scores of each anchor with the negatives of the other faces: all entries but the diagonal.

    Args:
        scores: (N, N) scores of all pairs.

    Returns:
        (N, N − 1) scores s_ij, j ≠ i, in the order of the batch; (1, 0) for a batch of one.

    Raises:
        ValueError: if the scores are not (N, N).

    Example:
        >>> scores_of_other_faces(torch.tensor([[0.0, 0.1, 0.2], [1.0, 1.1, 1.2], [2.0, 2.1, 2.2]]))
        tensor([[0.1000, 0.2000],
                [1.0000, 1.2000],
                [2.0000, 2.1000]])
    """
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1] or not scores.numel():
        raise ValueError(f"Scores of all pairs are a square (N, N) with N > 0; got {tuple(scores.shape)}.")
    count = len(scores)
    # Between two diagonal entries lie N others, so without the first entry each row of N + 1 ends in one.
    return scores.flatten()[1:].reshape(count - 1, count + 1)[:, :-1].reshape(count, count - 1)


def avce_objective(
    positive: Tensor,
    negative: Tensor,
    alpha: float = 0.5,
    beta: float = 0.005,
    gamma: float = 0.5,
    weights: NegativeWeights = UNIFORM,
) -> Tensor:
    """AVCE objective J, to be maximised: InfoNCE without exp and log, bounded by second moments.

    J = E s⁺ − α·E s⁻ − β/2·E (s⁺)² − γ/2·E (s⁻)²: Eq. (7), supplement, with the regularisation "defined from
    the second moment of f" and the weights α, β, γ of the poster. The poster prints the last two terms without
    the square; the supplement and the released code have it. With it J is the objective of relative predictive
    coding, whose best unbounded f is (r − α) / (βr + γ) for the density ratio r of P_XY and P_X P_Y. Under a
    false-negative correction the second moment of the negatives is kept at or above zero.

    Args:
        positive: (..., P) scores of positive pairs; under a false-negative correction of (N, M) negatives (N, 1), so
            that each anchor's own positive corrects its own negatives.
        negative: (..., M) scores of negative pairs. Expectations run over all dimensions.
        alpha: weight of the mean of the negatives.
        beta: weight of the second moment of the positives.
        gamma: weight of the second moment of the negatives.
        weights: weights over the negative pairs.

    Returns:
        J, a scalar.

    Raises:
        ValueError: if a tensor is empty or not floating point.

    Example:
        >>> avce_objective(torch.tensor([1.0, 2.0]), torch.tensor([0.5, 0.5]))
        tensor(1.1812)
    """
    positive, negative = scores(positive, negative)
    for name, value in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
        check_number(name, value)
    mean_negative = negative_mean(negative, positive, weights)
    second_moment = negative_mean(negative.square(), positive.square(), weights).clamp(min=0)
    return (
        positive.mean()
        - alpha * mean_negative.mean()
        - beta / 2 * positive.square().mean()
        - gamma / 2 * second_moment.mean()
    )


def infonce_loss(
    positive: Tensor,
    negative: Tensor,
    temperature: float = 1.0,
    floor_score: float = 0.0,
    weights: NegativeWeights = UNIFORM,
) -> Tensor:
    """InfoNCE loss, Eq. (6) of the supplement with the sign turned: −E s⁺/T + log E exp(s⁻/T).

    Args:
        positive: (..., P) scores of positive pairs.
        negative: (..., M) scores of negative pairs. Expectations run over all dimensions.
        temperature: T > 0; Eq. (6) has none, T = 1.
        floor_score: least score a negative pair can have; bounds a false-negative correction from below.
        weights: weights over the negative pairs.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: if a tensor is empty or not floating point.

    Example:
        >>> infonce_loss(torch.tensor([1.0, 2.0]), torch.tensor([0.5, 0.5]))
        tensor(-1.)
    """
    check_number("temperature", temperature, 0, above=True)
    positive, negative = (s / temperature for s in scores(positive, negative))
    log_mean = log_negative_mean_exp(negative, positive, weights, floor_score / temperature)
    return torch.logsumexp(log_mean.flatten(), 0) - math.log(log_mean.numel()) - positive.mean()


def infonce_cross_loss(
    positive: Tensor,
    negative: Tensor,
    temperature: float = 0.5,
    floor_score: float = 0.0,
    weights: NegativeWeights = UNIFORM,
) -> Tensor:
    """InfoNCE loss of each anchor against all M negatives of the batch, its form in contrastive learning.

    L = −E log[e^{s⁺/T} / (e^{s⁺/T} + M·E⁻ e^{s⁻/T})], where M·E⁻ is the sum over the negatives of the anchor
    unless weighted, and the positive of the anchor alone enters the false-negative correction. Weights that
    carry a gradient are differentiated, as the authors of the hard-negative loss do.

    Args:
        positive: (N,) scores of positive pairs.
        negative: (N, M) scores of each anchor with each negative.
        temperature: T > 0.
        floor_score: least score a negative pair can have; bounds a false-negative correction from below.
        weights: weights over the negatives of each anchor.

    Returns:
        The loss, a non-negative scalar.

    Raises:
        ValueError: if the shapes are not (N,) and (N, M), or a tensor is empty or not floating point.

    Example:
        >>> infonce_cross_loss(torch.tensor([0.5, 0.5]), torch.tensor([[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]))
        tensor(1.3863)
    """
    if positive.ndim != 1 or negative.ndim != 2 or len(positive) != len(negative):
        raise ValueError(
            "Cross-sample InfoNCE takes positive scores (N,) and negative scores (N, M); "
            f"got {tuple(positive.shape)} and {tuple(negative.shape)}."
        )
    check_number("temperature", temperature, 0, above=True)
    positive, negative = (s / temperature for s in scores(positive, negative))
    log_mean = log_negative_mean_exp(negative, positive[:, None], weights, floor_score / temperature)
    log_sum = log_mean + math.log(negative.shape[1])
    return -torch.nn.functional.logsigmoid(positive - log_sum).mean()


def cross_correlation(x: Tensor, y: Tensor, eps: float = 1e-5, weights: Tensor | None = None) -> Tensor:
    """Cross-correlation matrix of two batches: C_de = E[x̂_d ŷ_e], each column normalised over the batch.

    x̂ = (x − E x) / √(Var x + eps) with the biased variance; under weights, all moments are weighted (ours).

    Args:
        x: (N, k) batch.
        y: (N, k) batch.
        eps: positive; a constant column, and a batch of one, correlate with nothing.
        weights: (N,) non-negative weights with mean 1.

    Returns:
        (k, k) correlations in [−1, 1].

    Raises:
        ValueError: if the shapes differ or are not (N, k), or a tensor is empty or not floating point.

    Example:
        >>> x = torch.tensor([[1.0, 2.0], [-1.0, -2.0]])
        >>> cross_correlation(x, torch.tensor([[3.0, -4.0], [-3.0, 4.0]]))
        tensor([[ 1.0000, -1.0000],
                [ 1.0000, -1.0000]])
    """
    if x.ndim != 2 or x.shape != y.shape:
        raise ValueError(f"A cross-correlation takes two (N, k) batches; got {tuple(x.shape)} and {tuple(y.shape)}.")
    x, y = real(x, y)
    check_number("eps", eps, 0, above=True)
    if weights is not None:
        check_shape(weights.shape, x[:, 0])
    w = torch.ones_like(x[:, :1]) if weights is None else weights.to(x)[:, None]

    def normalised(values: Tensor) -> Tensor:
        # Beyond unit size the batch is scaled first, and eps with it, so that squares stay finite. That changes
        # no correlation, except that eps is kept from vanishing at scales beyond 1e3.
        scale = values.detach().abs().amax(0).clamp(min=1)
        centred = values / scale - (w * (values / scale)).mean(0)
        return centred * torch.rsqrt((w * centred.square()).mean(0) + (eps / scale / scale).clamp(min=1e-12))

    # Not a matrix product: autocast would carry it out in half precision.
    return (w[:, :, None] * normalised(x)[:, :, None] * normalised(y)[:, None, :]).mean(0)


def barlow_twins_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    redundancy_weight: float = 0.0051,
    negative_weight: float = 0.5,
    eps: float = 1e-5,
    weights: Tensor | None = None,
    class_prior: float = 0.0,
) -> Tensor:
    """Barlow Twins loss of anchor and positive, and a repulsion of anchor and negative.

    L = Σ_d (C_dd − 1)² + λ Σ_{d≠e} C_de² + w_neg Σ_d (Cⁿ_dd)², C from (anchor, positive), Cⁿ from
    (anchor, negative). The original has no negatives, yet the supplement mines them for it (its Table 2)
    without saying how. The last term is our reading, the place where mining acts: Cⁿ is computed with
    weighted moments, and a false-negative correction gives (Cⁿ − τ⁺C) / (1 − τ⁺).

    Args:
        anchor: (N, k) batch x.
        positive: (N, k) batch y_a.
        negative: (N, k) batch y_n.
        redundancy_weight: λ ≥ 0.
        negative_weight: w_neg ≥ 0; 0 gives the original loss.
        eps: added to the variances.
        weights: (N,) weights over the negative pairs, mean 1.
        class_prior: τ⁺ in [0, 1).

    Returns:
        The loss, a non-negative scalar.

    Raises:
        ValueError: if the shapes differ or are not (N, k), or a tensor is empty or not floating point.

    Example:
        >>> x = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> barlow_twins_loss(x, x, -x)
        tensor(1.0000)
    """
    for name, value in (("redundancy_weight", redundancy_weight), ("negative_weight", negative_weight)):
        check_number(name, value, 0)
    if not 0 <= class_prior < 1:
        raise ValueError(f"class_prior must be at least 0 and below 1, not {class_prior}.")
    correlation = cross_correlation(anchor, positive, eps)
    diagonal = correlation.diagonal()
    redundancy = correlation.square().sum() - diagonal.square().sum()
    negative_diagonal = cross_correlation(anchor, negative, eps, weights).diagonal()
    negative_diagonal = (negative_diagonal - class_prior * diagonal) / (1 - class_prior)
    return (
        (diagonal - 1).square().sum()
        + redundancy_weight * redundancy
        + negative_weight * negative_diagonal.square().sum()
    )
