"""Training on labels alone, and with one auxiliary loss: the tables' Baseline and what other systems add to it."""

from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from avce_pl.backbone.base import Backbone, Dropout
from avce_pl.functional.agreement import ccc_loss
from avce_pl.functional.published_losses import cage_loss, shaken_loss
from avce_pl.method.base import Batch, Method
from avce_pl.method.seeding import batch_seed
from avce_pl.optimizer.base import OptimizerConfig

Supervised = Literal["released", "mse", "ccc", "shaken", "cage"]
Weight = Annotated[float, Field(ge=0)]


class Baseline(Method):
    """Encoder, compressor and regressor under a supervised loss: no transforms, no contrast, no regularisation.

    The 61M AlexNet of the paper's tables is ``backbone=al_full``. Systems of Table 1 that differ from it in network and
    loss alone are options of the group ``method`` with this class: `kollias`, `facechannel`, `kossaifi`, `breg_next`.
    """

    auxiliary_weight: float = 0.0
    """Weight of `auxiliary_loss`."""

    def __init__(
        self,
        backbone: Backbone,
        optimizer: OptimizerConfig,
        seed: int,
        classes: int = 0,
        supervised: Supervised = "released",
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
            supervised: the loss of valence and arousal: ``released`` (MSE_V + MSE_A + ½(1 − PCC) + ½(1 − CCC), as
                AVCE), ``mse`` (MSE_V + MSE_A), ``ccc`` (1 − mean CCC; Kollias et al.), ``shaken`` (Kossaifi et al.) or
                ``cage`` (Wagner et al.), see `avce_pl.functional.published_losses`. Expressions have cross-entropy.
            agreement: moments of the PCC and CCC losses of ``released``; ``none`` leaves them out.
            batch_norm: BatchNorm in the regressor.
            dropout: share of the regressor's inputs z that training drops.
        """
        super().__init__(backbone, optimizer, seed, classes, batch_norm, dropout)
        self.supervised = supervised
        self.agreement = agreement

    def configure_optimizers(self) -> Any:
        """One optimizer for all networks."""
        return self.schedule([self.optimizer_config.trunk(self.parameters())])

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Steps the networks once."""
        target = self.gather(self.target(batch))
        maps = self.backbone.encoder(batch["image"])
        latent = self.gather(self.backbone.compressor(maps))
        losses = {"loss_supervised": self.prediction_loss(self.regressor(latent), target)}
        loss = losses["loss_supervised"]
        if (auxiliary := self.auxiliary_loss(maps, latent, target)) is not None:
            losses["loss_auxiliary"] = auxiliary
            loss = loss + self.auxiliary_weight * auxiliary
        self.update_parameters(loss)
        self.end_batch({"loss": loss, **losses})

    def auxiliary_loss(self, maps: Tensor, latent: Tensor, target: Tensor) -> Tensor | None:
        """A second loss of the batch, weighted by `auxiliary_weight`; none here.

        Args:
            maps: (n, C, h, w) the encoder's maps of this process's part of the batch; `gather` gives all of them.
            latent: (N, d) z of the whole batch.
            target: (N, 2) valence and arousal, or (N,) classes, of the whole batch.
        """
        return None

    def prediction_loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss named by `supervised`, or cross-entropy: (N, 2) and (N, 2), or (N, classes) and (N,)."""
        if self.classes or self.supervised == "released":
            return self.supervised_loss(prediction, target, self.agreement)
        match self.supervised:
            case "mse":
                return 2 * F.mse_loss(prediction, target)
            case "ccc":
                return ccc_loss(prediction, target)
            case "cage":
                return cage_loss(prediction, target)
            case _:
                generator = torch.Generator().manual_seed(batch_seed(self.seed, self.trainer.global_step, "shaken"))
                weights = torch.rand(3, generator=generator, dtype=torch.float32).to(prediction)
                return shaken_loss(prediction, target, weights)
