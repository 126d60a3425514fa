"""ResNet-18 whose 3x3 convolutions are CP-factorised, as Kossaifi et al. do for still images."""

from torch import Tensor, nn
from torchvision.models import resnet18

from avce_pl.backbone.base import LatentNorm, PooledBackbone


class CPResNet18(PooledBackbone):
    """CP-R18: ResNet-18 with a `CPConv2d` for each 3x3 convolution; 11,226,445 parameters with two outputs.

    Kossaifi, Toisoul, Bulat, Panagakis, Hospedales and Pantic, "Factorized higher-order CNNs with an application to
    spatio-temporal emotion estimation", CVPR 2020, the variant for images. torchvision supplies all other layers. The
    latent is the average of the last 512 maps, non-negative.

    Readings taken: the stem's 7x7 and the shortcuts' 1x1 convolutions stay dense; the rank gives every factorised
    convolution as many weights as the dense one has; channel weights carry no penalty. The paper's start from a network
    trained on other faces is not to be had, and ImageNet weights exist for dense convolutions only.

    Args:
        latent_norm: whether z is normalised over the batch.
    """

    batch_size = 128

    def __init__(self, latent_norm: LatentNorm = None) -> None:
        network = resnet18()
        for block in (*network.layer1, *network.layer2, *network.layer3, *network.layer4):
            block.conv1 = CPConv2d(block.conv1.in_channels, block.conv1.out_channels, block.stride)
            block.conv2 = CPConv2d(block.conv2.in_channels, block.conv2.out_channels)
        encoder = nn.Sequential(*list(network.children())[:-2])  # all but the average pooling and the classes
        super().__init__(encoder, 512, latent_norm)


class CPConv2d(nn.Module):
    """A 3x3 convolution with padding 1 and no bias, factorised: (N, C, H, W) -> (N, T, H / stride, W / stride).

    A 1x1 convolution C -> R, Ψ (BatchNorm and ReLU), a 3x1 and a 1x3 convolution of each of the R maps alone, a weight
    per map, a 1x1 convolution R -> T. Without Ψ it equals a dense convolution whose kernel is the sum over r of
    weight_r · output_r ⊗ input_r ⊗ vertical_r ⊗ horizontal_r (canonical polyadic decomposition).

    Args:
        inputs: C.
        outputs: T.
        stride: step of the kernel.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        rank = cp_rank(inputs, outputs)
        self.input = nn.Conv2d(inputs, rank, 1, bias=False)
        self.psi = nn.Sequential(nn.BatchNorm2d(rank), nn.ReLU())
        self.vertical = nn.Conv2d(rank, rank, (3, 1), (stride, 1), (1, 0), groups=rank, bias=False)
        self.horizontal = nn.Conv2d(rank, rank, (1, 3), (1, stride), (0, 1), groups=rank, bias=False)
        self.weight = nn.Parameter(nn.init.ones_(self.input.weight.new_empty(rank)))
        self.output = nn.Conv2d(rank, outputs, 1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Convolves."""
        filtered = self.horizontal(self.vertical(self.psi(self.input(maps))))
        convolved: Tensor = self.output(self.weight[:, None, None] * filtered)
        return convolved


def cp_rank(inputs: int, outputs: int) -> int:
    """The rank at which a factorised 3x3 convolution has as many weights as the dense one: R(C + T + 2·3) ≈ 9CT.

    >>> cp_rank(64, 64), cp_rank(256, 512)
    (275, 1524)
    """
    return round(9 * inputs * outputs / (inputs + outputs + 6))
