"""What every option shares: Adam for the trunk, Adam or SGD for the two auxiliary heads, one learning-rate curve."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Annotated, Literal, TypedDict

from pydantic import Field
from torch.nn import Parameter
from torch.optim import SGD, Adam, Optimizer

Rate = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
HeadOptimizer = Literal["adam", "sgd"]


class OptimizerOptions(TypedDict, total=False):
    """The parameters that all options share, apart from the learning rate; see `OptimizerConfig`."""

    betas: tuple[Fraction, Fraction]
    head_learning_rate: Rate
    head_momentum: Fraction
    head_optimizer: HeadOptimizer


class OptimizerConfig(ABC):
    """Adam for E and C+R, Adam or SGD with momentum for H and V, with one learning-rate curve.

    The released code steps H and V by SGD at 1e-2. Under a contrastive loss of weight 0.0256 that moves the weights of
    H by less than a hundredth in a training of minutes: y_a and y_n stay random points. Adam's step does not depend on
    the scale of the loss.

    The curve is a function of the batch number for torch's ``LambdaLR``. Chained schedulers of torch (``LinearLR`` and
    ``CosineAnnealingLR`` in a ``SequentialLR``) keep another state, with which no older checkpoint could be resumed.

    Args:
        learning_rate: Adam's, for encoder, compressor and regressor.
        betas: Adam's.
        head_learning_rate: for the projection and the discriminative head.
        head_momentum: SGD's, where it steps the heads.
        head_optimizer: what steps the heads.
    """

    def __init__(
        self,
        learning_rate: Rate = 1e-4,
        betas: tuple[Fraction, Fraction] = (0.5, 0.9),
        head_learning_rate: Rate = 1e-2,
        head_momentum: Fraction = 0.9,
        head_optimizer: HeadOptimizer = "sgd",
    ) -> None:
        self.learning_rate = learning_rate
        self.betas = betas
        self.head_learning_rate = head_learning_rate
        self.head_momentum = head_momentum
        self.head_optimizer = head_optimizer

    def trunk(self, parameters: Iterable[Parameter], scale: float = 1.0) -> Optimizer:
        """Adam for the trunk: those parameters of encoder, compressor and regressor that train.

        Args:
            parameters: of these networks.
            scale: factor on the learning rate.
        """
        parameters = [parameter for parameter in parameters if parameter.requires_grad]
        return Adam(parameters, lr=self.learning_rate * scale, betas=self.betas, fused=True)

    def heads(self, parameters: Iterable[Parameter]) -> Optimizer:
        """The optimizer of projection head and discriminative head."""
        if self.head_optimizer == "adam":
            return Adam(list(parameters), lr=self.head_learning_rate, betas=self.betas, fused=True)
        return SGD(list(parameters), lr=self.head_learning_rate, momentum=self.head_momentum)

    @abstractmethod
    def factor(self, batch: int, batches: int) -> float:
        """The factor on every learning rate at batch number `batch`, counted from 0, of `batches` in the training."""
