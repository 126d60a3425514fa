"""Optimizer recipes: which optimizers step the five networks, and their learning rates over the training."""
