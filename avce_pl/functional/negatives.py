"""Weights over negative pairs, and expectations under them (supplement, section 6).

A mining criterion turns the scores of the negative pairs into weights with mean 1 along the last dimension.
"N̂ (< N) are selected" is then a weight of N/N̂ on the selected pairs and 0 on the others, importance
weighting a smooth one: whatever the criterion, an expectation over the negatives is a weighted mean. Weights
are kept as logarithms, which neither underflow nor lose their gradient.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from avce_pl.functional._inputs import check_number, check_rows, check_shape, real
from avce_pl.functional._inputs import scores as as_scores


@dataclass(frozen=True, eq=False)
class NegativeWeights:
    """Weights over the negative pairs and the share of false negatives to correct for.

    Attributes:
        log_weights: (..., M) logarithms of the weights, −inf for a pair that was dropped.
        class_prior: τ⁺ in [0, 1), the probability that a negative pair is really a positive one; 0 means no
            correction.

    Example:
        >>> kept = NegativeWeights(keep_lowest(torch.tensor([0.1, 0.9, 0.2, 0.3]), share=0.5))
        >>> kept.weights
        tensor([2., 0., 2., 0.])
        >>> kept.share_kept
        tensor(0.5000)
    """

    log_weights: Tensor
    class_prior: float = 0.0

    @property
    def weights(self) -> Tensor:
        """Weights (..., M), non-negative, with mean 1 along the last dimension."""
        return self.log_weights.exp()

    @property
    def share_kept(self) -> Tensor:
        """Effective share of the negatives in use, 1/mean(w²): scalar in (0, 1], N̂/N for a selection."""
        return 1 / self.weights.square().mean()


UNIFORM = NegativeWeights(torch.zeros(()))
"""Every pair counts the same; for any shape of scores and any device."""


def keep_all(scores: Tensor) -> Tensor:
    """Log-weights that count every pair the same.

    Args:
        scores: (..., M) similarities of negative pairs.

    Returns:
        (..., M) zeros; no gradient.

    Raises:
        ValueError: if the scores are empty or not floating point.

    Example:
        >>> keep_all(torch.tensor([0.4, 0.1]))
        tensor([0., 0.])
    """
    (scores,) = as_scores(scores)
    return torch.zeros_like(scores)


def keep_lowest(scores: Tensor, share: float) -> Tensor:
    """Log-weights that keep the N̂ = ⌊share·M⌋ pairs with the lowest scores (debiased selection).

    At least one pair is kept. Equal scores are kept in the order of the batch.

    Args:
        scores: (..., M) similarities of negative pairs.
        share: share of the pairs to keep, in (0, 1].

    Returns:
        (..., M) log-weights: log(M/N̂) on kept pairs, −inf elsewhere; no gradient.

    Raises:
        ValueError: if the scores are empty or not floating point, or the share is outside (0, 1].

    Example:
        >>> keep_lowest(torch.tensor([0.4, 0.1, 0.3, 0.2]), share=0.5).exp()
        tensor([0., 2., 0., 2.])
    """
    (scores,) = as_scores(scores)
    return _keep(scores.detach().argsort(dim=-1, stable=True), scores, share)


def keep_highest(scores: Tensor, share: float) -> Tensor:
    """Log-weights that keep the N̂ = ⌊share·M⌋ pairs with the highest scores (hard selection without chance).

    Args:
        scores: (..., M) scores of the negative pairs.
        share: share of the pairs to keep, in (0, 1]; one pair is kept at least.

    Returns:
        (..., M) log-weights, no gradient.

    Raises:
        ValueError: as `keep_lowest`.

    Example:
        >>> keep_highest(torch.tensor([0.4, 0.1, 0.3, 0.2]), share=0.5).exp()
        tensor([2., 0., 2., 0.])
    """
    (scores,) = as_scores(scores)
    return _keep(scores.detach().argsort(dim=-1, descending=True, stable=True), scores, share)


def draw_hard(scores: Tensor, share: float, concentration: float, generator: torch.Generator | None = None) -> Tensor:
    """Log-weights that keep N̂ = ⌊share·M⌋ pairs drawn without replacement, p ∝ exp(concentration·score).

    "Hard selects hard negatives y_ns with adjustable hardness through importance sampling strategy"
    (supplement, section 6). The N̂ largest of concentration·score + Gumbel noise are such a draw.

    Args:
        scores: (..., M) similarities of negative pairs.
        share: share of the pairs to keep, in (0, 1].
        concentration: hardness; 0 draws uniformly.
        generator: source of the noise, on any device: a CPU generator of one seed draws the same everywhere.
            Without one, the global generator of the scores' device.

    Returns:
        (..., M) log-weights: log(M/N̂) on drawn pairs, −inf elsewhere; no gradient.

    Raises:
        ValueError: if the scores are empty or not floating point, or the share is outside (0, 1].

    Example:
        >>> draw_hard(torch.tensor([0.1, 0.2, 90.0]), share=0.34, concentration=1.0).exp()
        tensor([0., 0., 3.])
    """
    (scores,) = as_scores(scores)
    check_number("concentration", concentration)
    device = scores.device if generator is None else generator.device
    uniform = torch.rand(scores.shape, generator=generator, device=device).to(scores)
    keys = concentration * scores.detach() - torch.log(-torch.log(uniform))
    return _keep(keys.argsort(dim=-1, descending=True, stable=True), scores, share)


def importance_log_weights(scores: Tensor, concentration: float) -> Tensor:
    """Logarithm of M·softmax(concentration·score): hard negatives count more (Hard, reweighting form).

    Args:
        scores: (..., M) similarities of negative pairs.
        concentration: hardness; 0 weighs all pairs the same.

    Returns:
        (..., M) log-weights, differentiable in the scores.

    Raises:
        ValueError: if the scores are empty or not floating point.

    Example:
        >>> importance_log_weights(torch.tensor([0.0, math.log(3.0)]), concentration=1.0).exp()
        tensor([0.5000, 1.5000])
    """
    (scores,) = as_scores(scores)
    check_rows(scores)
    check_number("concentration", concentration)
    return torch.log_softmax(concentration * scores, dim=-1) + math.log(scores.shape[-1])


def negative_mean(negative: Tensor, positive: Tensor, weights: NegativeWeights) -> Tensor:
    """Expectation over the negatives along the last dimension, corrected for false negatives.

    (E_w[g⁻] − τ⁺·E[g⁺]) / (1 − τ⁺) with τ⁺ = `weights.class_prior` (Debiased, reweighting form).

    Args:
        negative: (..., M) values g of the negative pairs.
        positive: (..., P) values g of the positive pairs.
        weights: weights over the negative pairs, broadcastable to `negative`.

    Returns:
        (...) expectations. A corrected one can leave the range of g.

    Raises:
        ValueError: if a tensor is empty, a single number or not floating point, or if the shapes do not fit.

    Example:
        >>> negative_mean(torch.tensor([1.0, 3.0]), torch.tensor([4.0]), NegativeWeights(torch.zeros(2), 0.2))
        tensor(1.5000)
    """
    negative, positive = _pairs(negative, positive, weights)
    mean = (weights.weights * negative).mean(-1)
    prior = weights.class_prior
    return (mean - prior * positive.mean(-1)) / (1 - prior) if prior else mean


def log_negative_mean_exp(negative: Tensor, positive: Tensor, weights: NegativeWeights, floor: float) -> Tensor:
    """Logarithm of `negative_mean` of g = exp(score), not below the floor.

    log max((E_w[e^s⁻] − τ⁺·E[e^s⁺]) / (1 − τ⁺), e^floor). The floor is the least e^s there can be,
    which the corrected estimate may miss. Read here: it belongs to the correction and does not act without
    one (τ⁺ = 0).

    Args:
        negative: (..., M) scores of the negative pairs.
        positive: (..., P) scores of the positive pairs.
        weights: weights over the negative pairs, broadcastable to `negative`.
        floor: least result under a correction.

    Returns:
        (...) logarithms of expectations.

    Raises:
        ValueError: if a tensor is empty, a single number or not floating point, if the shapes do not fit, or if `floor`
            is not finite.

    Example:
        >>> weights = NegativeWeights(torch.zeros(3), class_prior=0.1)
        >>> log_negative_mean_exp(torch.zeros(3), torch.tensor([5.0]), weights, floor=-1.0)
        tensor(-1.)
    """
    negative, positive = _pairs(negative, positive, weights)
    check_number("floor", floor)
    log_negative = torch.logsumexp(negative + weights.log_weights, -1) - math.log(negative.shape[-1])
    prior = weights.class_prior
    if not prior:
        return log_negative
    log_positive = torch.logsumexp(positive, -1) - math.log(positive.shape[-1]) + math.log(prior)
    top = torch.maximum(log_negative, log_positive).detach()
    difference = (log_negative - top).exp() - (log_positive - top).exp()
    tiny = torch.finfo(difference.dtype).tiny
    corrected = top + difference.clamp(min=tiny).log() - math.log1p(-prior)
    return torch.where(difference > 0, corrected, floor).clamp(min=floor)


def _pairs(negative: Tensor, positive: Tensor, weights: NegativeWeights) -> tuple[Tensor, Tensor]:
    negative, positive = real(negative, positive)
    check_rows(negative, positive)
    check_shape(weights.log_weights.shape, negative)
    check_shape(positive.shape[:-1], negative[..., 0])
    return negative, positive


def _keep(order: Tensor, scores: Tensor, share: float) -> Tensor:
    """Log-weights that keep the first ⌊share·M⌋ positions of `order`, (..., M), and at least one."""
    check_rows(scores)
    if not 0 < share <= 1:
        raise ValueError(f"The share of negatives to keep must be above 0 and at most 1, not {share}.")
    count = scores.shape[-1]
    kept = max(1, math.floor(share * count + 1e-9))  # 0.29 * 100 is 28.999999999999996
    log_weights = torch.full_like(scores, -math.inf, requires_grad=False)
    return log_weights.scatter(-1, order[..., :kept], math.log(count / kept))
