"""Convex feature transforms: latent → (SparseMax, SoftMax), three implementations of one contract."""
