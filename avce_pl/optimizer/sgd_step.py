"""SGD for the trunk, with which several systems of the tables were trained."""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Annotated, Unpack

from pydantic import Field
from torch.nn import Parameter
from torch.optim import SGD, Optimizer

from avce_pl.optimizer.base import Fraction, OptimizerConfig, OptimizerOptions, Rate


class SGDStep(OptimizerConfig):
    """SGD with momentum and weight decay; learning rates fall by a constant factor at shares of the training.

    The defaults are DACL's public code: .01, momentum .9, decay 5e-4, a tenth after each third. DLP-CNN's
    re-implementation falls after three quarters; RAN's code begins at .1.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.01,
        momentum: Fraction = 0.9,
        weight_decay: Annotated[float, Field(ge=0)] = 5e-4,
        milestones: tuple[Fraction, ...] = (1 / 3, 2 / 3),
        decay: Rate = 0.1,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        """Stores the settings.

        Args:
            learning_rate: of encoder, compressor and regressor.
            momentum: of the same.
            weight_decay: of the same.
            milestones: shares of all batches after which the learning rates fall.
            decay: the factor by which they fall.
            options: of the auxiliary heads, see `OptimizerConfig`.
        """
        super().__init__(learning_rate, **options)
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.milestones = sorted(milestones)
        self.decay = decay

    def trunk(self, parameters: Iterable[Parameter], scale: float = 1.0) -> Optimizer:
        """SGD for the trunk, see `OptimizerConfig.trunk`."""
        parameters = [parameter for parameter in parameters if parameter.requires_grad]
        rate = self.learning_rate * scale
        return SGD(parameters, lr=rate, momentum=self.momentum, weight_decay=self.weight_decay)

    def factor(self, batch: int, batches: int) -> float:
        """``decay`` to the power of the number of milestones that are behind."""
        return self.decay ** bisect_right(self.milestones, batch / batches)
