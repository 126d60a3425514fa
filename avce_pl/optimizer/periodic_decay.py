"""The schedule of CAF's released code."""

from typing import Annotated, Unpack

from pydantic import Field

from avce_pl.optimizer.base import OptimizerConfig, OptimizerOptions, Rate


class PeriodicDecay(OptimizerConfig):
    """Learning rates fall by a constant factor every so many batches (CAF's released code: x0.9 every 5,000).

    Args:
        learning_rate: Adam's, for encoder, compressor and regressor.
        period: batches between two falls.
        decay: the factor.
        options: see `OptimizerConfig`.
    """

    def __init__(
        self,
        learning_rate: Rate = 1e-4,
        period: Annotated[int, Field(gt=0)] = 5_000,
        decay: Rate = 0.9,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.period = period
        self.decay = decay

    def factor(self, batch: int, batches: int) -> float:
        """``decay`` to the power of the number of whole periods."""
        return self.decay ** (batch // self.period)
