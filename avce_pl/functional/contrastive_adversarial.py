"""The mathematics of contrastive adversarial learning (CAF): grouping, adaptive margin, constrained critic loss.

Kim & Song, "Contrastive Adversarial Learning for Person Independent Facial Emotion Recognition", AAAI 2021, and its
released code, without the accidents of the latter (see `avce_pl.method.caf`). Half-precision inputs are computed and
returned in float32.
"""

import math

import torch
from torch import Tensor

from avce_pl.functional._inputs import check_number, real, scores

# Mean squared error below which the root is flat, so that a perfect batch has a finite gradient.
_EPS = 1e-8


def rmse_loss(prediction: Tensor, label: Tensor) -> Tensor:
    """Sum of the root mean squared errors of valence and arousal: Σ_k √(E(x_k − x̂_k)² + ε) − √ε, ε = 1e-8.

    Args:
        prediction: (N, k) values.
        label: (N, k) values.

    Returns:
        A scalar, 0 for a perfect batch.

    Raises:
        ValueError: if the shapes differ or are not (N, k), or a tensor is empty or not floating point.

    Example:
        >>> rmse_loss(torch.zeros(2, 2), torch.tensor([[0.3, 0.0], [0.3, 0.0]]))
        tensor(0.2999)
    """
    if prediction.ndim != 2 or prediction.shape != label.shape:
        raise ValueError(
            f"Errors are measured between (N, k) batches; got {tuple(prediction.shape)} and {tuple(label.shape)}."
        )
    prediction, label = scores(prediction, label)
    root = ((prediction - label).square().mean(0) + _EPS).sqrt()
    return (root - math.sqrt(_EPS)).sum()


def otsu_threshold(values: Tensor) -> Tensor:
    """The threshold that parts a sample into two classes with the greatest variance between them (Otsu, 1979).

    Over the sample itself, not over a histogram: halfway between the two neighbours where w₀w₁(μ₀ − μ₁)² is greatest.

    Args:
        values: (N,) values.

    Returns:
        A scalar; the value itself where all are equal. No gradient.

    Raises:
        ValueError: if the shape is not (N,), or the tensor is empty or not floating point.

    Example:
        >>> otsu_threshold(torch.tensor([0.1, 0.9, 0.2, 0.8, 0.1]))
        tensor(0.5000)
    """
    if values.ndim != 1:
        raise ValueError(f"A threshold is that of (N,) values; got {tuple(values.shape)}.")
    (values,) = real(values.detach())
    ordered, count = values.sort().values, len(values)
    size = ordered.abs().max().clamp(min=1)
    sums = (ordered / size).cumsum(0)
    below = torch.arange(1, count, device=values.device)
    difference = sums[:-1] / below - (sums[-1] - sums[:-1]) / (count - below)
    between = below * (count - below) * difference.square()
    # equal neighbours are not to be parted, whatever rounding says
    between = torch.where(ordered[1:] > ordered[:-1], between, -1.0)
    if count == 1 or ordered[0] == ordered[-1]:
        return ordered[0]
    # of equally good partings the lowest, whatever rounding says
    place = (between >= between.max() * (1 - 4096 * torch.finfo(between.dtype).eps)).long().argmax()
    return ordered[place] / 2 + ordered[place + 1] / 2


def emotion_groups(label: Tensor) -> tuple[Tensor, Tensor]:
    """Parts a batch into strong and weak emotion, equally many of each.

    Strong is v² + a² ≥ δ_v² + δ_a² with Otsu's thresholds δ of |v| and |a|. Of both groups the first n in the order of
    the batch are taken, n the largest even number that both have.

    Args:
        label: (N, 2) valence and arousal.

    Returns:
        Positions (n,) of the strong and of the weak samples; both empty where a group has fewer than two.

    Raises:
        ValueError: if the shape is not (N, 2), or the tensor is empty or not floating point.

    Example:
        >>> emotion_groups(torch.tensor([[0.9, 0.8], [0.1, 0.0], [-0.8, 0.9], [0.0, 0.1], [0.1, 0.1]]))
        (tensor([0, 2]), tensor([1, 3]))
    """
    if label.ndim != 2 or label.shape[1] != 2:
        raise ValueError(f"Emotions are grouped by (N, 2) valence and arousal; got {tuple(label.shape)}.")
    device = label.device
    (label,) = real(label.detach().cpu())  # CUDA has no deterministic cumulative sum, and positions end there anyway
    thresholds = torch.stack([otsu_threshold(axis) for axis in label.abs().unbind(1)])
    strong = label.square().sum(1) >= thresholds.square().sum()
    groups = strong.nonzero().flatten().to(device), (~strong).nonzero().flatten().to(device)
    count = min(len(group) for group in groups) // 2 * 2
    return groups[0][:count], groups[1][:count]


def mutual_information(strong: Tensor, weak: Tensor, variance: float = 0.2) -> Tensor:
    """A bounded estimate of the information of a strong about a weak critic output.

    The mean over dimensions of log[ p(l|h) / (½p(l|−1) + ½p(l|1)) ], clamped to [0, 2.5], with Gaussians p of the given
    variance.

    Args:
        strong: (n, k) critic outputs h.
        weak: (n, k) critic outputs l.
        variance: of the Gaussians.

    Returns:
        (n,) in [0, 2.5].

    Raises:
        ValueError: if the shapes differ or are not (n, k), `variance` is not above 0, or a tensor is empty or not
            floating point.

    Example:
        >>> mutual_information(torch.tensor([[1.0], [0.0]]), torch.tensor([[1.0], [0.0]]))
        tensor([0.6931, 2.5000])
    """
    check_number("The variance", variance, 0, above=True)
    strong, weak = _outputs(strong, weak)

    def exponent(mean: Tensor | float) -> Tensor:
        return -(weak - mean).square() / (2 * variance)

    marginal = torch.logaddexp(exponent(-1.0), exponent(1.0)) - math.log(2)
    return (exponent(strong) - marginal).mean(1).clamp(0, 2.5)


def neighbour_confidence(outputs: Tensor, strong: Tensor, level: float = 0.7) -> Tensor:
    """How surely the neighbours of every critic output agree on its group (Balsubramani et al., NeurIPS 2019).

    Among the k nearest other outputs the share of one group exceeds ½ by the bias. The least k whose bias is above
    level/√k is admissible; the confidence is level/√(k − 1), and level/√(M − 1) where no k is admissible.

    Args:
        outputs: (M, d) critic outputs of both groups.
        strong: (M,) bool, whether an output belongs to the strong group.
        level: of the confidence.

    Returns:
        (M,) in (0, level]. No gradient. Equally near neighbours count in the order of the batch.

    Raises:
        ValueError: if there are fewer than two outputs, `strong` does not fit them, `level` is not in (0.5, 1), or the
            outputs are not floating point.

    Example:
        >>> neighbour_confidence(torch.tensor([[0.0], [0.1], [0.2], [5.0]]), torch.tensor([True, True, True, False]))
        tensor([0.7000, 0.7000, 0.7000, 0.7000])
    """
    if outputs.ndim != 2 or len(outputs) < 2 or strong.shape != outputs.shape[:1]:
        raise ValueError(
            f"Neighbours are found among at least two (M, d) outputs of (M,) groups; got {tuple(outputs.shape)} and "
            f"{tuple(strong.shape)}."
        )
    if not 0.5 < level < 1:  # k = 1 is never admissible then: k - 1 is at least 1
        raise ValueError(f"The level of the neighbours' confidence is in (0.5, 1), not {level}.")
    (outputs,) = _bounded(outputs.detach())
    distance = torch.cdist(outputs, outputs, compute_mode="donot_use_mm_for_euclid_dist")
    neighbours = distance.fill_diagonal_(math.inf).argsort(dim=1, stable=True)[:, :-1]
    k = torch.arange(1, len(outputs), device=outputs.device)
    bias = (strong[neighbours].long().cumsum(1) / k - 0.5).abs()
    admissible = bias > level / k.sqrt()
    least = torch.where(admissible.any(1), admissible.long().argmax(1) + 1, len(outputs))
    return level / (least - 1).to(outputs.dtype).sqrt()


def critic_distances(strong: Tensor, weak: Tensor, level: float = 0.7) -> tuple[Tensor, Tensor]:
    """Squared distances within the strong group, and how far the weak group is from the margin.

    d_ap,i = ‖h_i − h_{n−1−i}‖² and d_an,i = relu(MI_i + conf_i − ‖h_i − l_{n−1−i}‖²), where MI_i is the
    `mutual_information` of h_i and l_{n−1−i} and conf_i the `neighbour_confidence` of h_i among all 2n outputs.

    Args:
        strong: (n, k) critic outputs h, n even.
        weak: (n, k) critic outputs l.
        level: of the confidence.

    Returns:
        d_ap and d_an, (n,) each, non-negative.

    Raises:
        ValueError: if the shapes differ or are not (n, k), n is odd, or a tensor is empty or not floating point.

    Example:
        >>> critic_distances(torch.zeros(2, 1), torch.full((2, 1), 2.0))
        (tensor([0., 0.]), tensor([0., 0.]))
    """
    strong, weak = _outputs(strong, weak)
    if len(strong) % 2:
        raise ValueError(f"Outputs are paired from both ends, which takes an even number of them, not {len(strong)}.")
    within = (strong - strong.flip(0)).square().sum(1)
    paired = weak.flip(0)
    groups = torch.arange(2 * len(strong), device=strong.device) < len(strong)
    confidence = neighbour_confidence(torch.cat([strong, weak]), groups, level)[: len(strong)]
    margin = mutual_information(strong, paired) + confidence
    return within, torch.relu(margin - (strong - paired).square().sum(1))


def constrained_critic_loss(
    within: Tensor, between: Tensor, multiplier: Tensor, penalty: float = 1e-6
) -> tuple[Tensor, Tensor]:
    """The critic's loss, an augmented Lagrangian: E d_ap + E d_an + Λc + ρ/2·c², c = 1 − ½E d_ap² − ½E d_an².

    Args:
        within: (n,) d_ap.
        between: (n,) d_an.
        multiplier: Λ, a scalar; after each step Λ += ρc.
        penalty: ρ.

    Returns:
        The loss, and c without gradient.

    Raises:
        ValueError: if the shapes differ or are not (n,), `penalty` is negative, or a tensor is empty or not floating
            point.

    Example:
        >>> constrained_critic_loss(torch.ones(2), torch.ones(2), torch.tensor(0.5))
        (tensor(2.), tensor(0.))
    """
    if within.ndim != 1 or within.shape != between.shape:
        raise ValueError(f"Distances are (n,) each; got {tuple(within.shape)} and {tuple(between.shape)}.")
    check_number("The penalty", penalty, 0)
    within, between, multiplier = real(within, between, multiplier.detach())
    limit = torch.finfo(torch.float32).max ** 0.24  # beyond what outputs can give; its fourth power is finite
    within, between, multiplier = (tensor.clamp(-limit, limit) for tensor in (within, between, multiplier))
    constraint = 1 - (within.square().mean() + between.square().mean()) / 2
    loss = within.mean() + between.mean() + multiplier * constraint + penalty / 2 * constraint.square()
    return loss, constraint.detach()


def _outputs(strong: Tensor, weak: Tensor) -> tuple[Tensor, Tensor]:
    if strong.ndim != 2 or strong.shape != weak.shape:
        raise ValueError(f"Critic outputs are (n, k) each; got {tuple(strong.shape)} and {tuple(weak.shape)}.")
    strong, weak = _bounded(strong, weak)
    return strong, weak


def _bounded(*outputs: Tensor) -> tuple[Tensor, ...]:
    """Brings outputs to a range in which the square of the constraint stays finite: ±4,000 for 16 float32 values."""
    outputs = real(*outputs)
    limit = torch.finfo(outputs[0].dtype).max ** 0.125 / (4 * math.sqrt(outputs[0].shape[1]))
    return tuple(output.clamp(-limit, limit) for output in outputs)
