"""The part that every recipe shares: Adam for the trunk, SGD for the two auxiliary heads."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Annotated

from pydantic import Field
from torch.nn import Parameter
from torch.optim import SGD, Adam

Rate = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


class Recipe(ABC):
    """Adam (E and C+R) and SGD with momentum (H and V), as in the released code, with one learning-rate curve."""

    def __init__(
        self,
        learning_rate: Rate = 1e-4,
        betas: tuple[Fraction, Fraction] = (0.5, 0.9),
        head_learning_rate: Rate = 1e-2,
        head_momentum: Fraction = 0.9,
    ) -> None:
        self.learning_rate = learning_rate
        self.betas = betas
        self.head_learning_rate = head_learning_rate
        self.head_momentum = head_momentum

    def trunk(self, parameters: Iterable[Parameter], scale: float = 1.0) -> Adam:
        """Adam for encoder, compressor and regressor as far as they train, its learning rate multiplied by `scale`."""
        parameters = [parameter for parameter in parameters if parameter.requires_grad]
        return Adam(parameters, lr=self.learning_rate * scale, betas=self.betas, fused=True)

    def heads(self, parameters: Iterable[Parameter]) -> SGD:
        """SGD for projection head and discriminative head."""
        return SGD(list(parameters), lr=self.head_learning_rate, momentum=self.head_momentum)

    @abstractmethod
    def factor(self, batch: int, batches: int) -> float:
        """The factor on every learning rate at batch number `batch` of `batches`."""
