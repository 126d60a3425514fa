"""The released code's schedule."""

from bisect import bisect_right
from typing import Literal

from avce_pl.optimizer.base import Fraction, Rate, Recipe


class StepDecay(Recipe):
    """Learning rates fall by a constant factor at given batches (released code: x0.8 at 5k, 25k, 45k, 65k, 85k)."""

    def __init__(
        self,
        learning_rate: Rate = 1e-4,
        betas: tuple[Fraction, Fraction] = (0.5, 0.9),
        head_learning_rate: Rate = 1e-2,
        head_momentum: Fraction = 0.9,
        head_optimizer: Literal["adam", "sgd"] = "sgd",
        milestones: tuple[int, ...] = (5_000, 25_000, 45_000, 65_000, 85_000),
        decay: Rate = 0.8,
    ) -> None:
        super().__init__(learning_rate, betas, head_learning_rate, head_momentum, head_optimizer)
        self.milestones = sorted(milestones)
        self.decay = decay

    def factor(self, batch: int, batches: int) -> float:
        """``decay`` to the power of the number of milestones reached."""
        return self.decay ** bisect_right(self.milestones, batch)
