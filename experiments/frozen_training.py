"""What trains on frozen features: one training, or one for each of many seeds in stacked tensors."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from frozen_table import CONTRAST, SCORES, Row
from torch import Tensor, nn
from torch.func import functional_call, replace_all_batch_norm_modules_, stack_module_state, vmap
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from avce_pl.backbone.base import latent_layers
from avce_pl.backbone.heads import DiscriminativeHead, ProjectionHead, Regressor
from avce_pl.crl_formula.avce import AVCE
from avce_pl.feature_transform.closed_form import ClosedForm
from avce_pl.functional.agreement import ccc, ccc_loss, pcc_loss
from avce_pl.functional.metric_regularisation import metric_regularisation_loss
from avce_pl.method.contrast import measure_contrast
from avce_pl.mining.hard import HardMining
from avce_pl.mining.none import NoMining
from avce_pl.optimizer.cosine import Cosine
from avce_pl.similarity.angle import AngleSimilarity
from avce_pl.similarity.paper import PaperSimilarity

LATENT = 32
REGULARISATION_WEIGHT = 0.01  # of phase 2, as in preset/method/tuned_avce.yaml; in every row, the trunk's too
RECIPE = Cosine(learning_rate=4e-4, head_learning_rate=1e-3, head_optimizer="adam")
TRANSFORM = ClosedForm()
SIMILARITIES = {"paper": PaperSimilarity(), "angle": AngleSimilarity()}

Parameters = dict[str, Tensor]


class Faces(NamedTuple):
    """Features and labels of a data set.

    Attributes:
        features: (n, inputs) averages of the encoder's maps.
        labels: (n, 2) valence and arousal in [-1, 1].
        train: (t,) row numbers of the training split.
        test: row numbers of the test split.
        fingerprint: changes with any of them.
    """

    features: Tensor
    labels: Tensor
    train: Tensor
    test: Tensor
    fingerprint: str


class Networks(nn.Module):
    """All that learns: compressor, R, H and V of one seed with their initial weights, without dropout."""

    def __init__(self, inputs: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.compressor = nn.Sequential(*latent_layers(inputs, LATENT, None))
            self.regressor = Regressor(LATENT, dropout=0.0)
            self.projection_head = ProjectionHead(LATENT)
            self.discriminative_head = DiscriminativeHead(LATENT)

    def forward(self, row: Row, latent: Tensor, sparse: Tensor, soft: Tensor, label: Tensor) -> Tensor:
        """The loss of a batch, as `method=avce update=shared` has it.

        Args:
            row: the contrastive loss.
            latent: z, (N, d).
            sparse: Sp(z), (N, d).
            soft: Sm(z), (N, d).
            label: (N, 2) valence and arousal.
        """
        anchor = self.regressor(latent)
        loss = supervised_loss(anchor, label)
        if row.pairs is not None:
            loss = loss + contrastive_loss(row, anchor, self.projection_head(sparse), self.projection_head(soft))
        second = metric_regularisation_loss(*(self.discriminative_head(view) for view in (latent, sparse, soft)))
        return loss + REGULARISATION_WEIGHT * second


def supervised_loss(prediction: Tensor, label: Tensor) -> Tensor:
    """MSE_V + MSE_A + ½(1 − mean PCC) + ½(1 − mean CCC), as `Method.supervised_loss`: (N, 2) each -> a scalar."""
    return 2 * F.mse_loss(prediction, label) + 0.5 * (pcc_loss(prediction, label) + ccc_loss(prediction, label))


def contrastive_loss(row: Row, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """L_AVCE with its weight: x, y_a and y_n, (N, 2) each -> a scalar."""
    mining = NoMining() if row.hardness is None else HardMining(form="reweight", concentration=row.hardness)
    return row.weight * AVCE(pairs=row.pairs)(anchor, positive, negative, SIMILARITIES[row.similarity], mining).loss


def build_optimizers(parameters: Parameters, batches: int) -> list[tuple[Optimizer, LambdaLR]]:
    """Two optimizers with their learning-rate curves: of compressor and R, and of H and V."""
    trunk = RECIPE.trunk(value for name, value in parameters.items() if "head" not in name)
    heads = RECIPE.heads(value for name, value in parameters.items() if "head" in name)
    return [(one, LambdaLR(one, lambda batch: RECIPE.factor(batch, batches))) for one in (trunk, heads)]


def update(loss: Tensor, optimizers: Sequence[tuple[Optimizer, LambdaLR]]) -> None:
    """One step of every parameter that the loss depends on."""
    for optimizer, _ in optimizers:
        optimizer.zero_grad()
    loss.backward()
    for optimizer, curve in optimizers:
        optimizer.step()
        curve.step()


def train_single(faces: Faces, batches: Tensor, row: Row, seed: int) -> Parameters:
    """One training in a plain loop, with whose CPU time the stacked one's is compared.

    Args:
        faces: features and labels.
        batches: (batches, N) row numbers.
        row: the contrastive loss.
        seed: of the initial weights.

    Returns:
        The trained parameters by name.
    """
    networks = Networks(faces.features.shape[1], seed).to(faces.features.dtype)
    replace_all_batch_norm_modules_(networks)
    parameters: Parameters = dict(networks.named_parameters())
    optimizers = build_optimizers(parameters, len(batches))
    for rows in batches:
        latent = networks.compressor(faces.features[rows])
        update(networks(row, latent, *TRANSFORM(latent), faces.labels[rows]), optimizers)
    return parameters


def train_stacked(faces: Faces, batches: Tensor, row: Row, seeds: Sequence[int]) -> Iterator[Parameters]:
    """One training for each seed, all in the same tensors.

    Args:
        faces: features and labels.
        batches: (seeds, batches, N) row numbers.
        row: the contrastive loss.
        seeds: of the initial weights.

    Yields:
        After each batch, the parameters by name, each with a first dimension of seeds.
    """
    networks = [Networks(faces.features.shape[1], seed).to(faces.features.dtype) for seed in seeds]
    for one in networks:
        replace_all_batch_norm_modules_(one)  # running statistics are not used here, and vmap has no place for them
    parameters, _ = stack_module_state(networks)
    first = networks[0]
    compressor = {name: parameters[f"compressor.{name}"] for name, _ in first.compressor.named_parameters()}
    optimizers = build_optimizers(parameters, batches.shape[1])
    compress = vmap(lambda given, features: functional_call(first.compressor, given, (features,)))
    losses = vmap(lambda given, *batch: functional_call(first, given, (row, *batch)))
    for rows in batches.unbind(1):
        latent = compress(compressor, faces.features[rows])
        # The transforms work on the last dimension, whatever is before it.
        update(losses(parameters, latent, *TRANSFORM(latent), faces.labels[rows]).sum(), optimizers)
        yield parameters


def select(parameters: Parameters, seed: int) -> Parameters:
    """The parameters of the seed at one position of the stack."""
    return {name: value[seed] for name, value in parameters.items()}


def predict(faces: Faces, trained_on: Tensor, parameters: Parameters) -> tuple[Networks, Tensor]:
    """Networks with these parameters, and their predictions, (test faces, 2).

    R's BatchNorm has the statistics of all faces `trained_on`, (n,) row numbers, as `BatchStatistics` would give it.
    """
    networks = Networks(faces.features.shape[1], 0).to(faces.features.dtype)
    networks.load_state_dict(parameters, strict=False)  # without running statistics
    for module in networks.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.momentum = None  # the plain mean over all batches, of which there is one
    with torch.no_grad():
        networks.regressor(networks.compressor(faces.features[trained_on]))
        return networks, networks.eval().regressor(networks.compressor(faces.features[faces.test]))


def evaluate(faces: Faces, trained_on: Tensor, row: Row, parameters: Parameters) -> dict[str, float]:
    """Test scores of one seed, and the state of its contrast on the test faces as one batch in training mode."""
    networks, prediction = predict(faces, trained_on, parameters)
    label = faces.labels[faces.test]
    valence, arousal = ccc(prediction, label).tolist()
    scores = dict(zip(SCORES, (valence, arousal, (valence + arousal) / 2), strict=True))
    if row.pairs is None:
        return scores
    networks.train()
    latent = networks.compressor(faces.features[faces.test])
    sparse, soft = TRANSFORM(latent)
    anchor, positive, negative = (
        networks.regressor(latent),
        networks.projection_head(sparse),
        networks.projection_head(soft),
    )
    losses = supervised_loss(anchor, label), contrastive_loss(row, anchor, positive, negative)
    state = measure_contrast(latent, sparse, soft, positive, negative, label, *losses)
    return scores | {name: state[name].item() for name in CONTRAST}
