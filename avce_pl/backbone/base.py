"""The contract of a backbone, and the part that those of torchvision share."""

from collections.abc import Sequence
from typing import Annotated, Literal, TypedDict

from pydantic import Field
from torch import Tensor, nn

Dropout = Annotated[float, Field(ge=0, lt=1)]
LatentNorm = Literal["batch", "none"] | None
"""Whether z passes a BatchNorm before its ReLU; ``None`` is ``none`` (a run fills it in, see its YAML)."""
Initialisation = Literal["data", "torch"]
"""Initial weights of a training from scratch: `initialise_from_data`, or the layers' own of torch."""


class Backbone(nn.Module):
    """An encoder E and a compressor C: image -> latent z = C(E(image)).

    z is non-negative where the compressor ends in a ReLU, as the paper's do. The feature transforms take any real z.

    Attributes:
        encoder: (N, 3, H, W) normalised images -> (N, C, h, w) feature maps.
        compressor: (N, C, h, w) -> (N, latent_dim).
        latent_dim: d, the size of z; 32 in the paper.
        regressor_hidden: width of the regressor's hidden layer, or ``None`` for a single linear read-out.
        batch_size: of a training that sets none; for the paper's backbones that of the released code.
        smallest_image: side in pixels below which nothing is left of an image.
        initialisation: initial weights of a training from scratch.
    """

    encoder: nn.Module
    compressor: nn.Module
    latent_dim: int
    regressor_hidden: int | None = 256
    batch_size: int = 64
    smallest_image: int = 1
    initialisation: Initialisation = "torch"

    def forward(self, image: Tensor) -> Tensor:
        """Computes the latent z of a batch of images: (N, 3, H, W) -> (N, latent_dim)."""
        latent: Tensor = self.compressor(self.encoder(image))
        return latent


class LatentOptions(TypedDict, total=False):
    """The parameters that compressors of `TorchvisionBackbone` share; see there."""

    latent_dim: Annotated[int, Field(gt=0)]
    dropout: Dropout
    latent_norm: LatentNorm


class TorchvisionBackbone(Backbone):
    """An encoder of torchvision and a compressor: `features`, dropout, FC -> latent_dim, [BatchNorm], ReLU.

    A subclass has the parameter `weights` too: ``None`` for training from scratch, ``imagenet``, or the path of a state
    dict, see `avce_pl.backbone.weights.load_weights`.

    Args:
        encoder: (N, 3, H, W) normalised images -> (N, C, h, w) feature maps.
        features: the layers that turn maps into features (N, width).
        width: number of these features.
        initialisation: initial weights of a training from scratch.
        latent_dim: size of z.
        dropout: share of the features that training drops.
        latent_norm: whether z is normalised over the batch before its ReLU, see `latent_layers`.
    """

    def __init__(
        self,
        encoder: nn.Module,
        features: Sequence[nn.Module],
        width: int,
        initialisation: Initialisation,
        latent_dim: Annotated[int, Field(gt=0)] = 32,
        dropout: Dropout = 0.5,
        latent_norm: LatentNorm = None,
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.initialisation = initialisation
        self.encoder = encoder
        self.compressor = nn.Sequential(*features, nn.Dropout(dropout), *latent_layers(width, latent_dim, latent_norm))


class PooledBackbone(Backbone):
    """An encoder whose feature maps, averaged over space, are the latent z; the regressor is a linear read-out.

    Args:
        encoder: (N, 3, H, W) normalised images -> (N, channels, h, w) feature maps.
        channels: number of feature maps, and the size of z.
        latent_norm: whether z is normalised over the batch, see `latent_layers`.
    """

    regressor_hidden = None

    def __init__(
        self,
        encoder: nn.Module,
        channels: int,
        latent_norm: LatentNorm,
    ) -> None:
        super().__init__()
        self.latent_dim = channels
        self.encoder = encoder
        normed: list[nn.Module] = [nn.BatchNorm1d(channels, affine=False)] if latent_norm == "batch" else []
        self.compressor = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *normed)


def latent_layers(inputs: int, latent_dim: int, norm: LatentNorm) -> list[nn.Module]:
    """The last layers of a compressor, which give z: FC inputs -> latent_dim, [BatchNorm], ReLU.

    With ``norm="batch"`` z is normalised over the batch before its ReLU, without parameters of its own (ours). Nothing
    in the paper's losses opposes a growth of z: behind a BatchNorm in R the supervised loss does not change with the
    scale and the common shift of z. Trained from scratch z grows until SparseMax and SoftMax are both one-hot in the
    same coordinate and the contrastive loss has no gradient. ImageNet features have a good scale and need no help.
    """
    normed: list[nn.Module] = [nn.BatchNorm1d(latent_dim, affine=False)] if norm == "batch" else []
    return [nn.Linear(inputs, latent_dim), *normed, nn.ReLU()]
