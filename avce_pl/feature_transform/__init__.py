"""Convex feature transforms: latent → (SparseMax, SoftMax), three implementations of one contract.

`OptLayer` solves and differentiates any convex problem; cvxpy is imported when one is made.
"""

from avce_pl.feature_transform.opt_layer import OptLayer

__all__ = ["OptLayer"]
