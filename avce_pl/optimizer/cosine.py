"""A schedule for trainings of minutes: ours, used by the demo."""

from math import cos, pi
from typing import Unpack

from avce_pl.optimizer.base import Fraction, OptimizerConfig, OptimizerOptions, Rate


class Cosine(OptimizerConfig):
    """Learning rates rise linearly over the first batches and fall to zero along half a cosine.

    Args:
        learning_rate: Adam's, for encoder, compressor and regressor.
        warmup: the share of all batches over which the learning rates rise.
        options: see `OptimizerConfig`.
    """

    def __init__(
        self, learning_rate: Rate = 2e-4, warmup: Fraction = 0.05, **options: Unpack[OptimizerOptions]
    ) -> None:
        super().__init__(learning_rate, **options)
        self.warmup = warmup

    def factor(self, batch: int, batches: int) -> float:
        """From 1/(warm-up batches) to 1, then down to 0 at the last batch."""
        rising = int(self.warmup * batches)
        if batch < rising:
            return (batch + 1) / rising
        return 0.5 * (1 + cos(pi * (batch - rising) / max(1, batches - rising)))
