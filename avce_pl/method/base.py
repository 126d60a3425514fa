"""The base of all methods: prediction, the supervised loss, counting and logging of batches."""

from collections.abc import Mapping
from typing import Any, Self, cast

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from avce_pl.backbone.base import Backbone
from avce_pl.backbone.heads import Regressor, regressor_of
from avce_pl.backbone.initialisation import initialise_from_data
from avce_pl.backbone.whole_batch import share_batches
from avce_pl.errors import AvceError
from avce_pl.functional.agreement import ccc_loss, pcc_loss
from avce_pl.method.seeding import batch_seed
from avce_pl.optimizer.base import OptimizerConfig

Batch = dict[str, Tensor]


class Method(pl.LightningModule):
    """Encoder E, compressor C and regressor R: (N, 3, H, W) normalised images -> (N, 2) valence and arousal.

    In the discrete mode (`classes` > 0; supplement, section 8) the outputs are (N, classes) logits of expressions.

    A batch is a dict of ``image`` (N, 3, H, W), ``label`` (N, 2), ``expression`` (N,) and ``row`` (N,), the row in the
    data set's index. Logs ``train/loss*`` every few batches, under the number of the batch from 0 as Lightning counts.
    It learns and predicts; `avce_pl.training.callbacks.agreement.Agreement` evaluates.

    The losses are statistics of a batch, so they are computed on the batch of all processes together
    (`gather`), and the update does not depend on how many processes share it.
    """

    def __init__(
        self,
        backbone: Backbone,
        optimizer: OptimizerConfig,
        seed: int,
        classes: int,
        batch_norm: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.backbone = backbone
        self.regressor = Regressor(
            backbone.latent_dim, classes or 2, backbone.regressor_hidden, batch_norm=batch_norm, dropout=dropout
        )
        self.optimizer_config = optimizer
        self.seed = seed
        self.classes = classes
        self._unchecked: tuple[list[str], Tensor, int] | None = None

    @classmethod
    def inference_regressor(cls, backbone: Backbone, section: Mapping[str, Any]) -> Regressor:
        """The regressor as this method trains it, for valence and arousal; inference needs no other part of a method.

        A method that changes the backbone changes it here too.

        Args:
            backbone: as the configuration describes it.
            section: the method's section of the configuration.
        """
        return regressor_of(backbone, section)

    def forward(self, image: Tensor) -> Tensor:
        """Predicts valence and arousal (N, 2), or logits (N, classes), from images (N, 3, H, W)."""
        prediction: Tensor = self.regressor(self.backbone(image))
        return prediction

    def freeze_encoder(self) -> None:
        """Keeps the encoder as it is: its parameters in no optimizer, its BatchNorm statistics fixed."""
        self.backbone.encoder.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Sets training mode for all but a frozen encoder."""
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.backbone.encoder.parameters()):
            self.backbone.encoder.eval()
        return self

    def setup(self, stage: str) -> None:
        """Makes the backbone's statistics those of the whole batch where several processes share it."""
        if self.trainer.world_size > 1:
            share_batches(self.backbone)

    def initialise(self, images: Tensor) -> None:
        """Sets the initial weights of encoder and compressor from training images (N, 3, H, W), if that is wanted.

        Encoders with BatchNorm keep torch's: their signal has a size already, and ResNet18 learnt nothing in 600
        batches behind a compressor that was initialised so.
        """
        if self.backbone.initialisation == "data":
            initialise_from_data(self.backbone, images, self.seed)

    def gather(self, tensor: Tensor) -> Tensor:
        """Stacks a (N, ...) tensor over all processes, with gradients; the tensor itself in a single process."""
        if self.trainer.world_size == 1:
            return tensor
        return cast(Tensor, self.all_gather(tensor, sync_grads=True)).flatten(0, 1)

    def target(self, batch: Batch) -> Tensor:
        """The target of the prediction: (N, 2) valence and arousal, or (N,) classes."""
        return batch["expression" if self.classes else "label"]

    def supervised_loss(self, prediction: Tensor, label: Tensor, agreement: str = "population") -> Tensor:
        """MSE_V + MSE_A + ½(1 − mean PCC) + ½(1 − mean CCC) (released code); cross-entropy in the discrete mode.

        Args:
            prediction: (N, 2), or (N, classes) logits.
            label: (N, 2), or (N,) classes.
            agreement: moments of PCC and CCC, see `avce_pl.functional.agreement`: ``population``, the released code's
                ``official``, or ``none`` to leave the two losses out.
        """
        if self.classes:
            return F.cross_entropy(prediction, label)
        return 2 * F.mse_loss(prediction, label) + self.agreement_loss(prediction, label, agreement)

    def agreement_loss(self, prediction: Tensor, label: Tensor, agreement: str) -> Tensor | float:
        """½(1 − mean PCC) + ½(1 − mean CCC) of (N, 2) predictions and labels; 0 for ``agreement="none"``."""
        if agreement == "none":
            return 0.0
        official = agreement == "official"
        return 0.5 * (pcc_loss(prediction, label, official=official) + ccc_loss(prediction, label, official=official))

    def update_parameters(self, loss: Tensor, *, counted: bool = True) -> None:
        """One backward pass and one step of every optimizer whose networks took part in `loss`.

        Lightning counts a step of any optimizer as a training step; the suite counts batches, so that schedules,
        logs and checkpoints mean the same for every method: only one step of a batch is `counted`.

        Args:
            loss: a scalar.
            counted: whether this is the step that counts.
        """
        found = self.optimizers()
        optimizers = found if isinstance(found, list) else [found]
        self.clear_gradients(optimizers, counted=counted)
        self.manual_backward(loss)
        for position, optimizer in enumerate(optimizers):
            if position or not counted:
                optimizer._on_before_step = self._start_profile
                optimizer._on_after_step = self._stop_profile
            optimizer.step()

    def clear_gradients(self, optimizers: list[LightningOptimizer], *, counted: bool) -> None:
        """Clears all gradients before a backward pass, so that an optimizer steps only what takes part in the loss."""
        for optimizer in optimizers:
            optimizer.zero_grad()

    def _start_profile(self) -> None:
        cast(Any, self.trainer).profiler.start("optimizer_step")

    def _stop_profile(self) -> None:
        cast(Any, self.trainer).profiler.stop("optimizer_step")

    def schedule(self, optimizers: list[Optimizer]) -> tuple[list[Optimizer], list[LambdaLR]]:
        """Puts the learning-rate curve on every optimizer."""
        # `trainer.estimated_stepping_batches` would set the loader up before its state of a resumed run is loaded
        trainer = cast(Any, self.trainer)
        per_epoch, limit = len(trainer.fit_loop._data_source.dataloader()), trainer.limit_train_batches
        per_epoch = min(per_epoch, limit) if isinstance(limit, int) else int(per_epoch * limit)
        batches = per_epoch * trainer.max_epochs
        return optimizers, [
            LambdaLR(optimizer, lambda batch: self.optimizer_config.factor(batch, batches)) for optimizer in optimizers
        ]

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seeds every batch by its number: dropout is the same after a resume, whatever else drew numbers."""
        torch.manual_seed(batch_seed(self.seed, self.trainer.global_step, "dropout"))

    @property
    def evaluated_networks(self) -> list[nn.Module]:
        """The networks that an evaluation or an explanation uses."""
        return [self.backbone, self.regressor]

    def forward_all(self, image: Tensor) -> None:
        """Takes images (N, 3, H, W) through all `evaluated_networks`."""
        self(image)

    def end_batch(self, losses: dict[str, Tensor]) -> None:
        """Steps the schedulers, logs ``train/<name>`` every few batches, stops a training that has diverged.

        The last thing in a training step: a callback's checkpoint is written before the module's own end-of-batch hook
        and would hold the learning rates of the previous batch. The last batch of an epoch is always logged.
        `self.log` would cost 0.45 ms also where nothing is written.

        Raises:
            AvceError: a loss is not finite.
        """
        for schedule in self.trainer.lr_scheduler_configs:
            cast(LambdaLR, schedule.scheduler).step()
        done = self.trainer.global_step
        self.check_finite()
        self._unchecked = list(losses), torch.stack([value.detach().float() for value in losses.values()]), done
        if self.device.type == "cpu":
            self.check_finite()  # elsewhere the next batch looks: looking at once would wait for the device
        if self.trainer.is_last_batch or done % cast(Any, self.trainer).log_every_n_steps == 0:
            self.log_training({name: value.detach() for name, value in losses.items()})

    def log_training(self, values: dict[str, Tensor]) -> None:
        """Writes ``train/<name>`` of the present batch to every logger."""
        metrics = {f"train/{name}": float(value) for name, value in values.items()} | {"epoch": self.current_epoch}
        for logger in self.trainer.loggers:
            logger.log_metrics(metrics, self.trainer.global_step - 1)

    def check_finite(self) -> None:
        """Stops if a loss of the last unchecked batch is not finite.

        Raises:
            AvceError: it is not; names the loss and the batch.
        """
        if self._unchecked is None:
            return
        (names, values, batch), self._unchecked = self._unchecked, None
        if not (finite := torch.isfinite(values)).all():
            worst = int(finite.int().argmin())
            raise AvceError(
                f"train/{names[worst]} is {values[worst].item()} at batch {batch} of the training (epoch "
                f"{self.current_epoch + 1}): the training has diverged. Lower optimizer.learning_rate, and run "
                "`avce data check` if the images or labels are your own."
            )

    def on_train_epoch_end(self) -> None:
        """Looks at the last batch, before anything is saved."""
        self.check_finite()

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Predicts one batch of the validation split, for `Agreement` to compare with its labels."""
        return cast(Tensor, self(batch["image"])).float()

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Predicts one batch of the test split."""
        return self.validation_step(batch, batch_idx)

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Predicts one batch."""
        return cast(Tensor, self(batch["image"]))

    def trunk_parameters(self) -> list[nn.Parameter]:
        """The parameters of encoder, compressor and regressor, the networks that inference uses."""
        return [*self.backbone.parameters(), *self.regressor.parameters()]
