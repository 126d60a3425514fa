"""DLP-CNN: features of one class are pulled together locally (Li, Deng & Du, CVPR 2017; Li & Deng, TIP 2019)."""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from avce_pl.backbone.base import Backbone, Dropout
from avce_pl.errors import AvceError
from avce_pl.functional.published_losses import locality_loss
from avce_pl.method.baseline import Baseline, Weight
from avce_pl.optimizer.base import OptimizerConfig


class DLP(Baseline):
    """Cross-entropy plus the locality-preserving loss of z, the backbone's last hidden layer.

    Readings taken, since the paper's λ and k were not found and re-implementations disagree: λ = .003, k = 20, the mean
    over the batch, and the neighbours that are there where a class has fewer. The test uses the softmax, not an SVM.
    The paper's faces are aligned at 100 px; here they are those of the data set.
    """

    def __init__(
        self,
        backbone: Backbone,
        optimizer: OptimizerConfig,
        seed: int,
        classes: int = 0,
        locality_weight: Weight = 0.003,
        neighbours: Annotated[int, Field(gt=0)] = 20,
        dropout: Dropout = 0.0,
    ) -> None:
        """Composes the method.

        Args:
            backbone: encoder and compressor; ``dlp_cnn`` is the paper's.
            optimizer: the optimizer and its learning rates.
            seed: seed of the weights and of dropout.
            classes: number of expressions, not 0.
            locality_weight: λ.
            neighbours: k, the nearest of the same class in the batch.
            dropout: share of z that the regressor drops, where it has a hidden layer.

        Raises:
            AvceError: `classes` is 0.
        """
        require_classes("dlp", classes)
        super().__init__(backbone, optimizer, seed, classes, dropout=dropout)
        self.auxiliary_weight = locality_weight
        self.neighbours = neighbours

    def auxiliary_loss(self, maps: Tensor, latent: Tensor, target: Tensor) -> Tensor:
        """The locality-preserving loss, see `avce_pl.functional.published_losses.locality_loss`."""
        return locality_loss(latent, target, self.neighbours)


def require_classes(method: str, classes: int) -> None:
    """Refuses a data set of valence and arousal.

    Raises:
        AvceError: `classes` is 0.
    """
    if not classes:
        raise AvceError(
            f"method={method} works on classes of expressions. Choose a data set that has them, such as "
            "dataset=synthetic_expression or raf_db, with dataset.task=expression."
        )
