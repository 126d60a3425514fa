"""Measures whether the two views of a face differ, and whether the contrastive loss moves anything."""

import torch
from torch import Tensor

from avce_pl.functional.agreement import pcc

LEAST_VIEWS = 0.02
"""Mean distance of Sp(z) and Sm(z) below which a contrast is dead."""
LEAST_SCORES = 0.005
"""Mean distance of y_a and y_n below which a contrast is dead."""


def measure_contrast(
    latent: Tensor,
    sparse: Tensor,
    soft: Tensor,
    positive: Tensor,
    negative: Tensor,
    target: Tensor,
    supervised: Tensor,
    contrastive: Tensor,
) -> dict[str, Tensor]:
    """The state of the contrast in one batch.

    Args:
        latent: z, (N, d), on which both losses depend.
        sparse: Sp(z), (N, d).
        soft: Sm(z), (N, d).
        positive: y_a = H(Sp(z)), (N, 2) or (N, classes).
        negative: y_n = H(Sm(z)), of the same shape.
        target: (N, 2) valence and arousal, or (N,) classes, with which nothing is correlated.
        supervised: the supervised loss, a scalar.
        contrastive: the contrastive loss with its weight, a scalar.

    Returns:
        Detached scalars: ``views`` mean of |Sp(z) − Sm(z)|, ``scores`` mean of |y_a − y_n|, ``dead_latents`` number of
        latents that are zero on every face, ``gradient_share`` norm of the contrastive loss's gradient at z over that
        of the supervised loss; of valence and arousal also ``corr_positive_valence`` ... ``corr_negative_arousal``,
        correlations of y_a and y_n with the label.
    """
    (push,) = torch.autograd.grad(contrastive, latent, retain_graph=True)
    (pull,) = torch.autograd.grad(supervised, latent, retain_graph=True)
    with torch.no_grad():
        state = {
            "views": (sparse - soft).norm(dim=1).mean(),
            "scores": (positive - negative).norm(dim=1).mean(),
            "dead_latents": (latent <= 0).all(0).sum().float(),
            "gradient_share": push.norm() / pull.norm().clamp_min(torch.finfo(pull.dtype).tiny),
        }
        if target.ndim == 2:
            for view, score in (("positive", positive), ("negative", negative)):
                state[f"corr_{view}_valence"], state[f"corr_{view}_arousal"] = pcc(score.float(), target.float())
    return state


def is_alive(views: float, scores: float) -> bool:
    """Whether two views of these mean distances are views to contrast, see `measure_contrast`."""
    return views >= LEAST_VIEWS and scores >= LEAST_SCORES
