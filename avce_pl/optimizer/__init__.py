"""Options of the optimizer: what steps the five networks, and the learning rates over the training."""
