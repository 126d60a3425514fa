"""VGG16 with its own fully connected layers, as Kollias et al. train it."""

from torch import nn
from torchvision.models import VGG16_Weights, vgg16

from avce_pl.backbone.base import Backbone, Dropout, Initialisation, LatentNorm
from avce_pl.backbone.weights import load_weights


class VGG16(Backbone):
    """VGG16's features (14,714,688 parameters) and its two hidden layers: 134,268,738 parameters with two outputs.

    Kollias, Cheng, Ververas, Kotsia and Zafeiriou, "Deep neural network augmentation: Generating faces for affect
    analysis", IJCV 2020; Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition",
    2015. torchvision supplies the layers. There is no BatchNorm.

    As in `avce_pl.backbone.alexnet.FullAlexNet`, the compressor is the classifier without its read-out: 7x7 maps, FC
    4096, ReLU, dropout, FC 4096, ReLU; the latent is the second hidden layer, and the regressor the linear read-out.

    Readings taken: the group's networks for Aff-Wild have a second layer of 4096 or of 2000, and dropout behind the
    first one only; taken is 4096, torchvision's, which fits the published weights and any image side.

    Differs from the published system: it starts from VGG-Face, which is not to be had; here from scratch or from
    ImageNet. It trains on faces synthesised from a morphable model (4DFAB) too, which are not to be had either.

    Args:
        dropout: share of the first hidden layer that training drops.
        weights: ``None``, ``imagenet`` or the path of a state dict, see `avce_pl.backbone.weights.load_weights`.
        latent_norm: whether z is normalised over the batch before its ReLU, see `avce_pl.backbone.base.latent_layers`.
        initialisation: initial weights of a training from scratch.
    """

    batch_size = 100
    smallest_image = 32
    latent_dim = 4096
    regressor_hidden = None

    def __init__(
        self,
        dropout: Dropout = 0.5,
        weights: str | None = None,
        latent_norm: LatentNorm = None,
        initialisation: Initialisation = "data",
    ) -> None:
        super().__init__()
        self.initialisation = initialisation
        network = vgg16(dropout=dropout)
        network.classifier = network.classifier[:-2]  # without the last dropout and the 1000 ImageNet classes
        load_weights(network, weights, VGG16_Weights.IMAGENET1K_V1)
        self.encoder = network.features
        self.compressor = nn.Sequential(network.avgpool, nn.Flatten(), *network.classifier)
        if latent_norm == "batch":
            self.compressor.insert(len(self.compressor) - 1, nn.BatchNorm1d(self.latent_dim, affine=False))
