"""AVCE as the authors' released code trains it (kdhht2334/AVCE_FER), with the accidents that change its numbers."""

from typing import Literal, TypedDict, Unpack

from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import nn

from avce_pl.backbone.base import Backbone, Dropout
from avce_pl.crl_formula.protocol import CRLFormula
from avce_pl.feature_transform.protocol import FeatureTransform
from avce_pl.method.avce import AVCE, Factor, Weight
from avce_pl.method.base import Batch
from avce_pl.mining.protocol import Mining
from avce_pl.optimizer.base import OptimizerConfig
from avce_pl.similarity.protocol import Similarity


class AVCEOptions(TypedDict, total=False):
    """The parameters of `AVCE`; see there."""

    backbone: Backbone
    crl_formula: CRLFormula
    mining: Mining
    similarity: Similarity
    feature_transform: FeatureTransform
    optimizer: OptimizerConfig
    seed: int
    classes: int
    update: Literal["two_phase", "shared"]
    crl_weight: Weight
    regularisation_weight: Weight
    hold_weight: Weight
    batch_norm: bool
    dropout: Dropout
    shared_learning_rate_scale: Factor
    agreement: Literal["population", "official"]


class ReleasedAVCE(AVCE):
    """AVCE with the accidents of the released code, which the paper does not describe; ``preset=official`` trains it.

    Its other departures from the paper are options of the components: ``similarity=official``, ``metrics=official``,
    ``method.agreement=official``, SGD for the two auxiliary heads.
    """

    def __init__(
        self,
        head_weights: Literal["default", "normal"] = "normal",
        stale_moments: bool = True,
        evaluation_latch: bool = False,
        dropout_at_test: bool = False,
        **options: Unpack[AVCEOptions],
    ) -> None:
        """Composes the method.

        Args:
            head_weights: initial weights of H and V: torch's ``default``, or ``normal``, N(0, 1) with biases of 0.01.
            stale_moments: R is moved in phase 2 by its Adam moments, though it has no gradient.
            evaluation_latch: E, C and R stay in evaluation mode, without dropout and with BatchNorm frozen, because
                the first evaluation of the released code never switches back. An accident, off in ``preset=official``.
            dropout_at_test: R's dropout stays on at test, as in the released ResNet regressors. An accident, off in
                ``preset=official``.
            options: see `AVCE`.
        """
        super().__init__(**options)
        self.stale_moments = stale_moments
        self.evaluation_latch = evaluation_latch
        self.dropout_at_test = dropout_at_test
        if head_weights == "normal":
            for head in (self.projection_head, self.discriminative_head):
                for layer in head.modules():
                    if isinstance(layer, nn.Linear):
                        nn.init.normal_(layer.weight)
                        nn.init.constant_(layer.bias, 0.01)

    def clear_gradients(self, optimizers: list[LightningOptimizer], *, counted: bool) -> None:
        """Clears all gradients; under `stale_moments` Adam finds zeros of the trunk in phase 2, and steps."""
        optimizers[0].zero_grad(set_to_none=counted or not self.stale_moments)
        super().clear_gradients(optimizers[1:], counted=counted)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seeds the batch; puts the trunk into evaluation mode under `evaluation_latch`."""
        super().on_train_batch_start(batch, batch_idx)
        if self.evaluation_latch:
            self.backbone.eval()
            self.regressor.eval()

    def on_test_model_eval(self) -> None:
        """Sets evaluation mode for the test, apart from R's dropout under `dropout_at_test`."""
        super().on_test_model_eval()
        for layer in self.regressor.modules():
            if isinstance(layer, nn.Dropout):
                layer.train(self.dropout_at_test)
