"""Slow, obvious re-implementations of the loss formulas: plain floats, one loop per sum, no tensors.

Written from the formulas of the method's description, never from the package. A batch is a list of rows, a
row a list of floats, valence first. X, Y_A, Y_N, LABEL are the worked example whose values the tests quote.
"""

import math

X = [[0.3, 0.4], [-0.2, 0.1], [0.5, -0.5], [0.0, 0.6]]
Y_A = [[0.25, 0.45], [-0.4, 0.3], [0.1, -0.2], [-0.1, 0.5]]
Y_N = [[-0.3, 0.2], [0.1, 0.1], [0.4, -0.4], [0.2, -0.6]]
LABEL = [[0.35, 0.3], [-0.25, 0.2], [0.45, -0.35], [0.05, 0.5]]


def mean(values):
    return math.fsum(values) / len(values)


def norm(x):
    return math.sqrt(math.fsum(c * c for c in x))


def sign(a):
    return (a > 0) - (a < 0)


# Similarity


def angle(x, y):
    if norm(x) == 0 or norm(y) == 0:
        return math.pi / 2
    cosine = math.fsum(a * b for a, b in zip(x, y, strict=True)) / (norm(x) * norm(y))
    return math.acos(max(-1.0, min(1.0, cosine)))


def angle_similarity(x, y):
    return 1 - angle(x, y) / math.pi


def paper_similarity(x, y, sigma=0.8, w=0.1):
    penalty = w / 2 if len(x) == 2 and sign(x[0]) != sign(y[0]) else 0.0
    return angle_similarity(x, y) + sigma * (1 - abs(norm(x) - norm(y))) - penalty


def official_terms(x, y, sigma=0.8, p=0.05):
    """Score without the sign penalty, and the penalty."""
    dot = math.fsum(a * b for a, b in zip(x, y, strict=True))
    cosine = dot / ((norm(x) + 1e-8) * (norm(y) + 1e-8))
    angular = max(1e-6, min(1.0, 1 - 0.25 * math.acos(cosine / 2) / math.pi))
    return angular + sigma * (1 - abs(norm(y) - norm(x))), p if sign(x[0]) != sign(y[0]) else 0.0


def official_similarity(x, y):
    score, penalty = official_terms(x, y)
    return score - penalty


def official_broadcast(xs, ys):
    """The released code's N x N matrix: row i has the penalty of pair i, column j the score of pair j."""
    terms = [official_terms(x, y) for x, y in zip(xs, ys, strict=True)]
    return [[score - penalty for score, _ in terms] for _, penalty in terms]


def aligned(similarity, xs, ys):
    return [similarity(x, y) for x, y in zip(xs, ys, strict=True)]


def all_pairs(similarity, xs, ys):
    return [[similarity(x, y) for y in ys] for x in xs]


def of_next_face(ys):
    """The views of the face before in the place of each face's own, the last one's in the first place."""
    return [ys[i - 1] for i in range(len(ys))]


def of_other_faces(table):
    return [[score for j, score in enumerate(row) if j != i] for i, row in enumerate(table)]


# Negatives: weights with mean 1, and expectations


def selection(kept, count):
    return [count / len(kept) if i in kept else 0.0 for i in range(count)]


def importance(scores, concentration):
    powers = [math.exp(concentration * s) for s in scores]
    return [len(scores) * p / math.fsum(powers) for p in powers]


def expectation(negative, positive=(), weights=None, prior=0.0):
    weights = weights or [1.0] * len(negative)
    over_negatives = mean([w * g for w, g in zip(weights, negative, strict=True)])
    return (over_negatives - prior * mean(positive)) / (1 - prior) if prior else over_negatives


# Contrastive objectives


def avce(positive, negative, alpha=0.5, beta=0.005, gamma=0.5, weights=None, prior=0.0):
    second = expectation([s * s for s in negative], [s * s for s in positive], weights, prior)
    return (
        mean(positive)
        - alpha * expectation(negative, positive, weights, prior)
        - beta / 2 * mean([s * s for s in positive])
        - gamma / 2 * max(0.0, second)
    )


def avce_cross(positive, negative, alpha=0.5, beta=0.005, gamma=0.5, weights=None, prior=0.0):
    """All anchors and all their negatives count the same; each anchor corrects and clamps its own expectations."""
    firsts, seconds = [], []
    for i, row in enumerate(negative):
        own, w = positive[i], weights[i] if weights else None
        firsts.append(expectation(row, [own], w, prior))
        seconds.append(max(0.0, expectation([s * s for s in row], [own * own], w, prior)))
    return (
        mean(positive) - alpha * mean(firsts) - beta / 2 * mean([s * s for s in positive]) - gamma / 2 * mean(seconds)
    )


def infonce(positive, negative, temperature=1.0, weights=None, prior=0.0, floor_score=0.0):
    g_positive = [math.exp(s / temperature) for s in positive]
    g_negative = [math.exp(s / temperature) for s in negative]
    expected = expectation(g_negative, g_positive, weights, prior)
    if prior:
        expected = max(expected, math.exp(floor_score / temperature))
    return math.log(expected) - mean(positive) / temperature


def infonce_cross(positive, negative, temperature=0.5, weights=None, prior=0.0, floor_score=0.0):
    losses = []
    for i, row in enumerate(negative):
        g_positive = math.exp(positive[i] / temperature)
        g_negative = [math.exp(s / temperature) for s in row]
        expected = expectation(g_negative, [g_positive], weights[i] if weights else None, prior)
        if prior:
            expected = max(expected, math.exp(floor_score / temperature))
        losses.append(-math.log(g_positive / (g_positive + len(row) * expected)))
    return mean(losses)


def correlation(xs, ys, d, e, eps=1e-5, weights=None):
    """Entry (d, e) of the batch-normalised cross-correlation."""
    weights = weights or [1.0] * len(xs)

    def weighted(values):
        return mean([w * v for w, v in zip(weights, values, strict=True)])

    a, b = [x[d] for x in xs], [y[e] for y in ys]
    mean_a, mean_b = weighted(a), weighted(b)
    variance_a = weighted([(v - mean_a) ** 2 for v in a])
    variance_b = weighted([(v - mean_b) ** 2 for v in b])
    covariance = weighted([(v - mean_a) * (u - mean_b) for v, u in zip(a, b, strict=True)])
    return covariance / (math.sqrt(variance_a + eps) * math.sqrt(variance_b + eps))


def barlow_twins(xs, ys, ns=None, lam=0.0051, w_neg=0.5, weights=None, prior=0.0):
    loss, size = 0.0, len(xs[0])
    for d in range(size):
        for e in range(size):
            c = correlation(xs, ys, d, e)
            loss += (c - 1) ** 2 if d == e else lam * c * c
        if ns is not None:
            c_n = correlation(xs, ns, d, d, weights=weights)
            loss += w_neg * ((c_n - prior * correlation(xs, ys, d, d)) / (1 - prior)) ** 2
    return loss


# Phase 1 agreement, one dimension at a time


def pcc(a, b, official=False):
    freedom = len(a) - 1 if official else len(a)
    covariance = mean([(u - mean(a)) * (v - mean(b)) for u, v in zip(a, b, strict=True)])
    variance_a = math.fsum((u - mean(a)) ** 2 for u in a) / freedom
    variance_b = math.fsum((v - mean(b)) ** 2 for v in b) / freedom
    return covariance / math.sqrt(variance_a * variance_b)


def ccc(a, b, official=False):
    freedom = len(a) - 1 if official else len(a)
    variance_a = math.fsum((u - mean(a)) ** 2 for u in a) / freedom
    variance_b = math.fsum((v - mean(b)) ** 2 for v in b) / freedom
    deviations = 2 * math.sqrt(variance_a) * math.sqrt(variance_b) * pcc(a, b, official)
    return deviations / (variance_a + variance_b + (mean(a) - mean(b)) ** 2)


# Phase 2


def push(va, vn):
    return mean(
        [max(0.0, 1 - norm([p - q for p, q in zip(a, n, strict=True)]) ** 2) for a, n in zip(va, vn, strict=True)]
    )


def hold(vk, v):
    distances = []
    for row_k, row in zip(vk, v, strict=True):
        k = [c / (norm(row_k) + 1e-6) for c in row_k]
        u = [c / (norm(row) + 1e-6) for c in row]
        distances.append(norm([p - q for p, q in zip(k, u, strict=True)]) - 1)
    return mean(distances)
