"""Slow, obvious re-implementations of contrastive adversarial learning: plain floats, one loop per sum, no tensors."""

import math
from itertools import pairwise

from tests.support.reference import mean, norm


def otsu(values):
    """Every gap between two different values is tried."""
    ordered = sorted(values)
    best, threshold = -1.0, ordered[0]
    for low, high in pairwise(ordered):
        if low == high:
            continue
        below, above = [v for v in values if v <= low], [v for v in values if v >= high]
        between = len(below) * len(above) * (mean(below) - mean(above)) ** 2
        if between > best * (1 + 1e-9):
            best, threshold = between, (low + high) / 2
    return threshold


def groups(label):
    limit = otsu([abs(v) for v, _ in label]) ** 2 + otsu([abs(a) for _, a in label]) ** 2
    strong = [i for i, (v, a) in enumerate(label) if v * v + a * a >= limit]
    weak = [i for i in range(len(label)) if i not in strong]
    count = 2 * (min(len(strong), len(weak)) // 2)
    return strong[:count], weak[:count]


def gaussian(x, centre, variance):
    return math.exp(-((x - centre) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)


def mutual_information(h, weak, variance=0.2):
    logs = [
        math.log(gaussian(y, x, variance) / (0.5 * gaussian(y, -1, variance) + 0.5 * gaussian(y, 1, variance)))
        for x, y in zip(h, weak, strict=True)
    ]
    return min(2.5, max(0.0, mean(logs)))


def distance(x, y):
    return norm([a - b for a, b in zip(x, y, strict=True)])


def confidence(outputs, labels, i, level=0.7):
    others = sorted((distance(outputs[i], outputs[j]), j) for j in range(len(outputs)) if j != i)
    votes = 0
    for k, (_, j) in enumerate(others, start=1):
        votes += labels[j]
        if abs(votes / k - 0.5) > level / math.sqrt(k):
            return level / math.sqrt(k - 1)
    return level / math.sqrt(len(outputs) - 1)


def distances(strong, weak, level=0.7):
    n = len(strong)
    within, between = [], []
    for i in range(n):
        other, paired = strong[n - 1 - i], weak[n - 1 - i]
        within.append(distance(strong[i], other) ** 2)
        margin = mutual_information(strong[i], paired) + confidence(strong + weak, [1] * n + [0] * n, i, level)
        between.append(max(0.0, margin - distance(strong[i], paired) ** 2))
    return within, between


def critic_loss(within, between, multiplier, penalty):
    c = 1 - 0.5 * mean([d * d for d in within]) - 0.5 * mean([d * d for d in between])
    return mean(within) + mean(between) + multiplier * c + penalty / 2 * c * c, c


def rmse(prediction, label):
    axes = range(len(label[0]))
    return sum(
        math.sqrt(mean([(x[k] - y[k]) ** 2 for x, y in zip(prediction, label, strict=True)]) + 1e-8) - 1e-4
        for k in axes
    )
