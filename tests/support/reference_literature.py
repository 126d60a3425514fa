"""Slow, obvious twins of the losses of other systems: plain floats, one loop per sum."""

import math

from tests.support.reference import mean

EPS = 1e-8  # of the package's correlations, see avce_pl/functional/agreement.py
LABEL = [[0.1, 0.2], [0.5, -0.1], [-0.3, 0.4], [0.8, 0.0]]
PREDICTION = [[0.2, 0.1], [0.4, 0.0], [-0.1, 0.3], [0.6, 0.2]]


def moments(x, y):
    mx, my = mean(x), mean(y)
    return (
        mean([(a - mx) ** 2 for a in x]),
        mean([(b - my) ** 2 for b in y]),
        mean([(a - mx) * (b - my) for a, b in zip(x, y, strict=True)]),
        (mx - my) ** 2,
    )


def pcc(x, y):
    vx, vy, cov, _ = moments(x, y)
    return cov / math.sqrt((vx + EPS) * (vy + EPS))


def ccc(x, y):
    vx, vy, cov, shift = moments(x, y)
    return 2 * cov / (vx + vy + shift + 2 * EPS)


def mse(x, y):
    return mean([(a - b) ** 2 for a, b in zip(x, y, strict=True)])


def columns(rows):
    return [[row[k] for row in rows] for k in range(2)]


def each_axis(measure, prediction, label):
    return [measure(p, t) for p, t in zip(columns(prediction), columns(label), strict=True)]


def shaken_loss(prediction, label, weights):
    parts = [
        sum(math.sqrt(value) for value in each_axis(mse, prediction, label)),
        1 - mean(each_axis(pcc, prediction, label)),
        1 - mean(each_axis(ccc, prediction, label)),
    ]
    return sum(w * part for w, part in zip(weights, parts, strict=True)) / sum(weights)


def cage_loss(prediction, label):
    return 3 * sum(each_axis(mse, prediction, label)) - sum(each_axis(ccc, prediction, label))


def squared_distance(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def locality_centres(feature, target, k):
    """For each face the mean of its neighbours, None where it is alone."""
    found = []
    for i, x in enumerate(feature):
        same = [other for j, other in enumerate(feature) if j != i and target[j] == target[i]]
        near = sorted(same, key=lambda other: squared_distance(x, other))[:k]
        found.append([mean(values) for values in zip(*near, strict=True)] if near else None)
    return found


def locality_loss(feature, target, k):
    centres = locality_centres(feature, target, k)
    terms = [squared_distance(x, c) if c else 0.0 for x, c in zip(feature, centres, strict=True)]
    return mean(terms) / 2


def attentive_centre_loss(feature, attention, centres, target):
    terms = []
    for f, weights, y in zip(feature, attention, target, strict=True):
        terms.append(sum(w * (v - c) ** 2 for v, w, c in zip(f, weights, centres[y], strict=True)))
    return mean(terms) / 2


def step_centres(feature, attention, centres, target, rate):
    new = []
    for j, centre in enumerate(centres):
        mine = [i for i, y in enumerate(target) if y == j]
        pull = [sum(attention[i][d] * (centre[d] - feature[i][d]) for i in mine) for d in range(len(centre))]
        new.append([c - rate * p / (1 + len(mine)) for c, p in zip(centre, pull, strict=True)])
    return new


def region_bias_loss(weights, margin):
    return mean([max(0.0, margin - (max(row[:-1]) - row[-1])) for row in weights])
