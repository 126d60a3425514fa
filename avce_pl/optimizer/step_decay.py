"""The schedule of the released code."""

from bisect import bisect_right
from typing import Unpack

from avce_pl.optimizer.base import OptimizerConfig, OptimizerOptions, Rate


class StepDecay(OptimizerConfig):
    """Learning rates fall by a constant factor at given batches (released code: x0.8 at 5k, 25k, 45k, 65k, 85k).

    Args:
        learning_rate: Adam's, for encoder, compressor and regressor.
        milestones: the batches, in any order.
        decay: the factor.
        options: see `OptimizerConfig`.
    """

    def __init__(
        self,
        learning_rate: Rate = 1e-4,
        milestones: tuple[int, ...] = (5_000, 25_000, 45_000, 65_000, 85_000),
        decay: Rate = 0.8,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.milestones = sorted(milestones)
        self.decay = decay

    def factor(self, batch: int, batches: int) -> float:
        """``decay`` to the power of the number of milestones reached."""
        return self.decay ** bisect_right(self.milestones, batch)
