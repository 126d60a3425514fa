"""The part that every recipe shares: Adam for the trunk, Adam or SGD for the two auxiliary heads."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field
from torch.nn import Parameter
from torch.optim import SGD, Adam, Optimizer

Rate = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


class Recipe(ABC):
    """Adam for E and C+R, Adam or SGD with momentum for H and V, with one learning-rate curve.

    The released code steps H and V by SGD at 1e-2. Under a contrastive loss of weight 0.0256 that moves the weights of
    H by less than a hundredth in a training of minutes: y_a and y_n stay random points. Adam's step does not depend on
    the scale of the loss.
    """

    def __init__(
        self,
        learning_rate: Rate = 1e-4,
        betas: tuple[Fraction, Fraction] = (0.5, 0.9),
        head_learning_rate: Rate = 1e-2,
        head_momentum: Fraction = 0.9,
        head_optimizer: Literal["adam", "sgd"] = "sgd",
    ) -> None:
        """Stores the settings.

        Args:
            learning_rate: Adam's, for encoder, compressor and regressor.
            betas: Adam's.
            head_learning_rate: for the projection and the discriminative head.
            head_momentum: SGD's, where it steps the heads.
            head_optimizer: what steps the heads.
        """
        self.learning_rate = learning_rate
        self.betas = betas
        self.head_learning_rate = head_learning_rate
        self.head_momentum = head_momentum
        self.head_optimizer = head_optimizer

    def trunk(self, parameters: Iterable[Parameter], scale: float = 1.0) -> Adam:
        """Adam for encoder, compressor and regressor as far as they train, its learning rate multiplied by `scale`."""
        parameters = [parameter for parameter in parameters if parameter.requires_grad]
        return Adam(parameters, lr=self.learning_rate * scale, betas=self.betas, fused=True)

    def heads(self, parameters: Iterable[Parameter]) -> Optimizer:
        """The optimizer of projection head and discriminative head."""
        if self.head_optimizer == "adam":
            return Adam(list(parameters), lr=self.head_learning_rate, betas=self.betas, fused=True)
        return SGD(list(parameters), lr=self.head_learning_rate, momentum=self.head_momentum)

    @abstractmethod
    def factor(self, batch: int, batches: int) -> float:
        """The factor on every learning rate at batch number `batch` of `batches`."""
