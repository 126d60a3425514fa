"""CAF's schedule."""

from typing import Annotated, Literal

from pydantic import Field

from avce_pl.optimizer.base import Fraction, Rate, Recipe


class PeriodicDecay(Recipe):
    """Learning rates fall by a constant factor every so many batches (CAF's released code: x0.9 every 5,000)."""

    def __init__(
        self,
        learning_rate: Rate = 1e-4,
        betas: tuple[Fraction, Fraction] = (0.5, 0.9),
        head_learning_rate: Rate = 1e-2,
        head_momentum: Fraction = 0.9,
        head_optimizer: Literal["adam", "sgd"] = "sgd",
        period: Annotated[int, Field(gt=0)] = 5_000,
        decay: Rate = 0.9,
    ) -> None:
        super().__init__(learning_rate, betas, head_learning_rate, head_momentum, head_optimizer)
        self.period = period
        self.decay = decay

    def factor(self, batch: int, batches: int) -> float:
        """``decay`` to the power of the number of whole periods."""
        return self.decay ** (batch // self.period)
