"""The tables' Baseline: a network trained on its labels alone."""

from typing import Any, Literal

from avce_pl.backbone.base import Backbone, Dropout
from avce_pl.method.base import Batch, Method
from avce_pl.optimizer.base import OptimizerConfig


class Baseline(Method):
    """Encoder, compressor and regressor under the supervised loss: no transforms, no contrast, no regularisation.

    The 61M AlexNet of the paper's tables is ``backbone=al_full``.
    """

    def __init__(
        self,
        backbone: Backbone,
        optimizer: OptimizerConfig,
        seed: int,
        classes: int = 0,
        agreement: Literal["population", "official", "none"] = "population",
        batch_norm: bool = True,
        dropout: Dropout = 0.5,
    ) -> None:
        """Composes the method.

        Args:
            backbone: encoder and compressor.
            optimizer: the optimizer and its learning rates.
            seed: seed of the weights and of dropout.
            classes: number of expressions to tell apart; 0 for valence and arousal.
            agreement: moments of the PCC and CCC losses, as in `avce_pl.method.avce.AVCE`; ``none`` leaves them out.
            batch_norm: BatchNorm in the regressor.
            dropout: share of the regressor's inputs z that training drops.
        """
        super().__init__(backbone, optimizer, seed, classes, batch_norm, dropout)
        self.agreement = agreement

    def configure_optimizers(self) -> Any:
        """Adam for all networks."""
        return self.schedule([self.optimizer_config.trunk(self.trunk_parameters())])

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Steps the networks once."""
        latent, target = self.gather(self.backbone(batch["image"])), self.gather(self.target(batch))
        loss = self.supervised_loss(self.regressor(latent), target, self.agreement)
        self.update_parameters(loss)
        self.end_batch({"loss": loss, "loss_supervised": loss})
