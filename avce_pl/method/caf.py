"""CAF: contrastive adversarial learning (Kim & Song, AAAI 2021), which the paper compares with."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from avce_pl.backbone.base import Backbone, Dropout
from avce_pl.backbone.heads import Regressor
from avce_pl.errors import AvceError
from avce_pl.functional.contrastive_adversarial import (
    constrained_critic_loss,
    critic_distances,
    emotion_groups,
    rmse_loss,
)
from avce_pl.method.base import Batch, Method
from avce_pl.optimizer.base import OptimizerConfig


class CAF(Method):
    """An encoder and a regressor under the supervised loss, and a critic that tells strong from weak emotion.

    Per batch: (1) a supervised step of encoder and regressor. (2) The batch is parted into strong and weak emotion by
    Otsu thresholds of the labels. (3) The critic learns, on features without gradient, to draw the strong together and
    to keep the weak a margin away that adapts to both. (4) The encoder steps against the frozen critic on the weak
    images. A batch with fewer than two images of a group ends after (1), and is counted.

    The backbone gives its encoder and its pooling: the layers of its compressor before the first linear one. CAF has a
    compressor of its own: dropout, FC -> 64, ReLU, dropout, FC -> 8, ReLU, before the read-out of valence and arousal;
    the backbone's `latent_dim` and `dropout` play no part.
    With AL 3,652,618 parameters, critic included.

    Differs from the released code in what are accidents there:

    - Groups are parted by Otsu thresholds, v² + a² ≥ δ_v² + δ_a². There a ratio of sums that depends on the order of
      the batch replaces the threshold, and squares are compared with a root plus 0.25; where a group is empty, other
      limits are tried, and strong faces become weak ones.
    - With one image in a group the released pairing compares an image with itself, and NaN outputs are replaced by ones
      and zeros; here such batches are skipped, and there are no NaN.
    - The sign of the quadratic term: + ρ/2·c² belongs to Λ += ρc when the loss is minimised; there it is −.
    - The critic's features come from the forward pass of step 1, without gradient. There two more passes are made, and
      their gradient through the encoder is computed and thrown away.
    - The nearest neighbours of an output are all others; there the first of the sorted column is dropped, which is the
      output itself only where no other coincides with it.
    - The optimizers do not step at the beginning of an epoch on the gradients of the last batch of the one before.
    - The critic that the encoder steps against drops nothing.
    - Λ is part of the checkpoints.

    Reading taken: the groups are those of the labels, and of both the first n images (n even) take part in (3) and (4),
    as in the released code. The margin's mutual information carries a gradient, its confidence none. Step (4) sees weak
    images alone, and so do the moments of an encoder with BatchNorm there.
    """

    multiplier: Tensor
    skipped: Tensor

    def __init__(
        self,
        backbone: Backbone,
        optimizer: OptimizerConfig,
        seed: int,
        classes: int = 0,
        supervised: Literal["rmse", "mse"] = "rmse",
        agreement: Literal["population", "official", "none"] = "population",
        adversarial_weight: Annotated[float, Field(ge=0)] = 0.1,
        penalty: Annotated[float, Field(gt=0)] = 1e-6,
        batch_norm: bool = False,
        dropout: Dropout = 0.5,
        critic_dropout: Dropout = 0.2,
    ) -> None:
        """Composes the method.

        Args:
            backbone: encoder and pooling; its compressor is replaced.
            optimizer: the optimizers and their learning rates.
            seed: seed of the weights and of dropout.
            classes: must be 0: expressions have no intensity to group by.
            supervised: RMSE_V + RMSE_A (released code), or MSE_V + MSE_A as in the other methods.
            agreement: moments of the PCC and CCC losses, as in `avce_pl.method.baseline.Baseline`.
            adversarial_weight: weight of step 4's loss.
            penalty: ρ, weight of the squared constraint and step of its multiplier.
            batch_norm: BatchNorm without parameters before every ReLU of compressor and critic (ours). The released
                code has none and starts from ImageNet; from scratch their units die within batches.
            dropout: share of the regressor's inputs, and of its first hidden layer, that training drops.
            critic_dropout: share of the critic's second layer that training drops.

        Raises:
            AvceError: `classes` is not 0, or the backbone's compressor has no linear layer.
        """
        if classes:
            raise AvceError(
                "method=caf parts faces into strong and weak emotion by their valence and arousal, which a data set of "
                "expressions does not have. Use method=avce or method=baseline."
            )
        pooling, inputs = _replace_compressor(backbone, batch_norm, dropout)
        super().__init__(backbone, optimizer, seed, classes, batch_norm=False, dropout=0.0)
        self.pooling = pooling
        self.critic = nn.Sequential(
            nn.Linear(inputs, 64),
            nn.Linear(64, 32),
            *_norm(32, batch_norm),
            nn.Dropout(critic_dropout),
            nn.ReLU(),
            nn.Linear(32, 16),
        )
        self.supervised = supervised
        self.agreement = agreement
        self.adversarial_weight = adversarial_weight
        self.penalty = penalty
        self.register_buffer("multiplier", torch.zeros(()))
        self.register_buffer("skipped", torch.zeros((), dtype=torch.int64))

    @classmethod
    def inference_regressor(cls, backbone: Backbone, section: Mapping[str, Any]) -> Regressor:
        """The linear read-out; gives the backbone CAF's compressor, see `Method.inference_regressor`."""
        _replace_compressor(backbone, section["batch_norm"], section["dropout"])
        return Regressor(backbone.latent_dim, hidden=backbone.regressor_hidden)

    def configure_optimizers(self) -> Any:
        """Adam for encoder and regressor, and for the critic."""
        return self.schedule(
            [
                self.optimizer_config.trunk(self.trunk_parameters()),
                self.optimizer_config.trunk(self.critic.parameters()),
            ]
        )

    def freeze_encoder(self) -> None:
        """Refuses: without the encoder's step against it the critic serves nothing.

        Raises:
            AvceError: always.
        """
        raise AvceError(
            "method=caf trains the encoder against a critic, so freeze=encoder is refused. Use method=baseline."
        )

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Updates the networks on one batch, see the class."""
        target = self.gather(self.target(batch))
        maps = self.backbone.encoder(batch["image"])
        supervised = self.error(self.gather(self.regressor(self.backbone.compressor(maps))), target)
        self.update_parameters(supervised)
        losses = {"loss": supervised, "loss_supervised": supervised}
        strong, weak = emotion_groups(target)
        if len(strong):
            hidden = self.gather(self.critic[:2](self.pooling(maps.detach())))
            outputs = self.critic[2:](hidden)  # dropout as if one process had the batch
            distances = critic_distances(outputs[strong], outputs[weak])
            losses["loss_critic"], constraint = constrained_critic_loss(*distances, self.multiplier, self.penalty)
            self.update_parameters(losses["loss_critic"], counted=False)
            self.multiplier += self.penalty * constraint
            losses["loss_adversarial"] = self.step_against_critic(batch["image"], weak)
        else:
            self.skipped += 1
        self.end_batch(losses | {"multiplier": self.multiplier, "skipped_batches": self.skipped.float()})

    def error(self, prediction: Tensor, label: Tensor) -> Tensor:
        """The loss of step 1: (N, 2) and (N, 2) -> a scalar."""
        if self.supervised == "mse":
            return self.supervised_loss(prediction, label, self.agreement)
        return rmse_loss(prediction, label) + self.agreement_loss(prediction, label, self.agreement)

    def step_against_critic(self, image: Tensor, weak: Tensor) -> Tensor:
        """Step 4: moves the encoder so that the frozen critic scores the weak images higher.

        Args:
            image: (N, 3, H, W) images of this process.
            weak: (n,) positions of the weak images in the batch of all processes.

        Returns:
            The loss over the batch of all processes.
        """
        first = self.trainer.global_rank * len(image)
        mine = weak[(weak >= first) & (weak < first + len(image))] - first
        # the gradients of all processes are averaged, the loss is a mean over the images of all; a process without weak
        # images takes part with none
        share = self.trainer.world_size / len(weak)
        self.critic.requires_grad_(False).eval()
        score = self.critic(self.pooling(self.backbone.encoder(image[mine]))).mean(1).sum()
        loss: Tensor = -self.adversarial_weight * share * score
        self.update_parameters(loss, counted=False)
        self.critic.requires_grad_(True).train()
        return self.gather(loss.detach().reshape(1)).mean()


def _replace_compressor(backbone: Backbone, batch_norm: bool, dropout: float) -> tuple[nn.Sequential, int]:
    """Gives a backbone CAF's compressor; returns its pooling, and the number of features that this gives."""
    layers = list(backbone.compressor.children())
    first = next((number for number, layer in enumerate(layers) if isinstance(layer, nn.Linear)), None)
    if first is None:
        raise AvceError(
            f"method=caf replaces a backbone's compressor from its first linear layer on, and the compressor of "
            f"{type(backbone).__name__} has none among its layers ({type(backbone.compressor).__name__}). Make it an "
            "nn.Sequential with an nn.Linear, or use method=avce or method=baseline."
        )
    inputs = cast(nn.Linear, layers[first]).in_features
    pooling = nn.Sequential(*(layer for layer in layers[:first] if not isinstance(layer, nn.Dropout)))
    backbone.compressor = nn.Sequential(
        *pooling,
        *(nn.Dropout(dropout), nn.Linear(inputs, 64), *_norm(64, batch_norm), nn.ReLU()),
        *(nn.Dropout(dropout), nn.Linear(64, 8), *_norm(8, batch_norm), nn.ReLU()),
    )
    backbone.latent_dim = 8
    backbone.regressor_hidden = None
    return pooling, inputs


def _norm(width: int, batch_norm: bool) -> list[nn.Module]:
    return [nn.BatchNorm1d(width, affine=False)] if batch_norm else []
