"""AVCE: contrastive learning of valence and arousal with convex feature transforms (Kim & Song, ECCV 2022)."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from avce_pl.backbone.base import Backbone, Dropout
from avce_pl.backbone.heads import DiscriminativeHead, ProjectionHead
from avce_pl.crl_formula.protocol import CRLFormula
from avce_pl.feature_transform.protocol import FeatureTransform
from avce_pl.functional.metric_regularisation import metric_regularisation_loss
from avce_pl.method.base import Batch, Method
from avce_pl.method.contrast import measure_contrast
from avce_pl.method.seeding import batch_seed
from avce_pl.mining.protocol import Mining
from avce_pl.optimizer.base import OptimizerConfig
from avce_pl.similarity.protocol import Similarity

Weight = Annotated[float, Field(ge=0)]
Factor = Annotated[float, Field(gt=0)]

MEASURED_EVERY = 10
"""Batches between two measurements of the contrast, whatever is logged; the last batch of an epoch is measured too."""


class AVCE(Method):
    """Five networks and two convex transforms; z = C(E(image)), x = R(z), y_a = H(Sp(z)), y_n = H(Sm(z)).

    Phase 1 minimises the supervised loss on x plus the contrastive formula on (x, y_a, y_n) and steps E, C, R, H.
    Phase 2 minimises the triplet-based regularisation on V(z), V(Sp(z)), V(Sm(z)) and steps E, C, V.

    ``update="two_phase"`` does one after the other on a fresh forward pass each, as in the paper and the released
    code. ``update="shared"`` takes both losses from one forward pass and steps every network once (ours): half the
    cost; E, C and R then make one step where they made two, so their learning rate is multiplied by
    `shared_learning_rate_scale`.

    In the discrete mode (supplement, section 8) R and H give logits, the similarity works on them, and phase 2 stays.
    """

    contrast: dict[str, Tensor] | None = None
    """The state of the contrast in the present batch, where it was measured; see `measure_contrast`."""

    def __init__(
        self,
        backbone: Backbone,
        crl_formula: CRLFormula,
        mining: Mining,
        similarity: Similarity,
        feature_transform: FeatureTransform,
        optimizer: OptimizerConfig,
        seed: int,
        classes: int = 0,
        update: Literal["two_phase", "shared"] = "two_phase",
        crl_weight: Weight = 0.0256,
        regularisation_weight: Weight = 1.0,
        hold_weight: Weight = 0.01,
        batch_norm: bool = True,
        dropout: Dropout = 0.5,
        shared_learning_rate_scale: Factor = 1.7,
        agreement: Literal["population", "official"] = "population",
    ) -> None:
        """Composes the method.

        Args:
            backbone: encoder and compressor.
            crl_formula: the contrastive formula of phase 1.
            mining: which negatives count.
            similarity: f(x, y) of two points of the valence/arousal plane.
            feature_transform: z -> (Sp(z), Sm(z)).
            optimizer: the optimizers and their learning rates.
            seed: seed of the weights, dropout and the mining's draws.
            classes: number of expressions to tell apart; 0 for valence and arousal.
            update: how the two losses step the networks, see above.
            crl_weight: weight of the contrastive loss; 0.0256 on the mean form is 1e-4 on the batch sum at N = 256.
            regularisation_weight: weight of the phase-2 loss.
            hold_weight: weight of the hold terms inside the phase-2 loss.
            batch_norm: BatchNorm in the three heads (supplement: yes; released code: no).
            dropout: share of the regressor's inputs z that training drops.
            shared_learning_rate_scale: factor on the learning rate of E, C and R when ``update="shared"``.
            agreement: moments of the PCC and CCC losses; the ``official`` ones, of the released code, mix two
                conventions, so that a perfect batch of N does not reach zero.
        """
        super().__init__(backbone, optimizer, seed, classes, batch_norm, dropout)
        self.projection_head = ProjectionHead(backbone.latent_dim, classes or 2, batch_norm, bounded=classes == 0)
        self.discriminative_head = DiscriminativeHead(backbone.latent_dim, batch_norm=batch_norm)
        self.projection_head.requires_grad_(crl_formula.uses_projection_head)
        self.crl_formula = crl_formula
        self.mining = mining
        self.similarity = similarity
        self.feature_transform = feature_transform
        self.update = update
        self.crl_weight = crl_weight
        self.regularisation_weight = regularisation_weight
        self.hold_weight = hold_weight
        self.shared_learning_rate_scale = shared_learning_rate_scale
        self.agreement = agreement

    def configure_optimizers(self) -> Any:
        """Adam for E, C and R, and the optimizer of H and V; a network without a gradient is not stepped."""
        scale = self.shared_learning_rate_scale if self.update == "shared" else 1.0
        trunk = self.optimizer_config.trunk(self.trunk_parameters(), scale)
        auxiliary: Sequence[nn.Module] = (self.projection_head, self.discriminative_head)
        heads = self.optimizer_config.heads(p for head in auxiliary for p in head.parameters())
        return self.schedule([trunk, heads])

    @property
    def evaluated_networks(self) -> list[nn.Module]:
        """All five networks."""
        return [*super().evaluated_networks, self.projection_head, self.discriminative_head]

    def forward_all(self, image: Tensor) -> None:
        """Takes images (N, 3, H, W) through all five networks."""
        latent = self.backbone(image)
        self.regressor(latent)
        sparse, soft = self.feature_transform(latent)
        if self.crl_formula.uses_projection_head:
            self.projection_head(sparse)
            self.projection_head(soft)
        for view in (latent, sparse, soft):
            self.discriminative_head(view)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Updates the networks on one batch, see the class."""
        target = self.gather(self.target(batch))
        latent = self.gather(self.backbone(batch["image"]))
        sparse, soft = self.feature_transform(latent)
        losses = self.phase_one(latent, sparse, soft, target)
        if self.update == "two_phase":
            self.update_parameters(losses["loss"])
            latent = self.gather(self.backbone(batch["image"]))
            sparse, soft = self.feature_transform(latent)
        losses["loss_regularisation"] = metric_regularisation_loss(
            self.discriminative_head(latent),
            self.discriminative_head(sparse),
            self.discriminative_head(soft),
            hold_weight=self.hold_weight,
        )
        second = self.regularisation_weight * losses["loss_regularisation"]
        if self.update == "two_phase":
            self.update_parameters(second, counted=False)
        else:
            self.update_parameters(losses["loss"] + second)
        losses["loss"] = losses["loss"].detach() + second
        self.end_batch(losses)

    def phase_one(self, latent: Tensor, sparse: Tensor, soft: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The supervised and the contrastive loss of one batch.

        Args:
            latent: z, (N, d).
            sparse: Sp(z), (N, d).
            soft: Sm(z), (N, d).
            target: valence and arousal, (N, 2), or classes, (N,).

        Returns:
            ``loss`` to be minimised, its parts ``loss_supervised`` and ``loss_crl``, and the formula's diagnostics.
        """
        anchor = self.regressor(latent)
        supervised = self.supervised_loss(anchor, target, self.agreement)
        self.contrast = None
        if not self.crl_formula.uses_projection_head:
            return {"loss": supervised, "loss_supervised": supervised}
        generator = torch.Generator(device=latent.device)
        generator.manual_seed(batch_seed(self.seed, self.trainer.global_step, "mining"))
        positive, negative = self.projection_head(sparse), self.projection_head(soft)
        contrast = self.crl_formula(anchor, positive, negative, self.similarity, self.mining, generator)
        weighted = self.crl_weight * contrast.loss
        if self.trainer.is_last_batch or (self.trainer.global_step + 1) % MEASURED_EVERY == 0:
            self.contrast = measure_contrast(latent, sparse, soft, positive, negative, target, supervised, weighted)
        return {
            "loss": supervised + weighted,
            "loss_supervised": supervised,
            "loss_crl": contrast.loss,
            **contrast.diagnostics,
        }
