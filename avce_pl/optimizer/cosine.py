"""A schedule for short budgets: ours, used by the demo."""

from math import cos, pi
from typing import Literal

from avce_pl.optimizer.base import Fraction, Rate, Recipe


class Cosine(Recipe):
    """Learning rates rise linearly over the first batches and fall to zero along half a cosine."""

    def __init__(
        self,
        learning_rate: Rate = 2e-4,
        betas: tuple[Fraction, Fraction] = (0.5, 0.9),
        head_learning_rate: Rate = 1e-2,
        head_momentum: Fraction = 0.9,
        head_optimizer: Literal["adam", "sgd"] = "sgd",
        warmup: Fraction = 0.05,
    ) -> None:
        """Builds the recipe.

        Args:
            learning_rate: Adam's, for encoder, compressor and regressor.
            betas: Adam's.
            head_learning_rate: for the projection and the discriminative head.
            head_momentum: SGD's, where it steps the heads.
            head_optimizer: what steps the heads, see `Recipe`.
            warmup: the share of all batches over which the learning rates rise.
        """
        super().__init__(learning_rate, betas, head_learning_rate, head_momentum, head_optimizer)
        self.warmup = warmup

    def factor(self, batch: int, batches: int) -> float:
        """From 1/(warm-up batches) to 1, then down to 0 at the last batch."""
        rising = int(self.warmup * batches)
        if batch < rising:
            return (batch + 1) / rising
        return 0.5 * (1 + cos(pi * (batch - rising) / max(1, batches - rising)))
