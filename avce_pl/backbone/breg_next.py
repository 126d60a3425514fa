"""BReG-NeXt-50: residual units whose shortcut is a bounded function with learnt slope."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avce_pl.backbone.base import LatentNorm, PooledBackbone


class BRegNeXt(PooledBackbone):
    """BReG-NeXt-50: 24 `BRegUnit` of 32, 64 and 128 maps; 3,071,922 parameters with two outputs, 3,072,696 with eight.

    Hasani, Negi and Mahoor, "BReG-NeXt: Facial affect computing using adaptive residual networks with bounded
    gradient", IEEE Transactions on Affective Computing 2020; the supplement's Table 1 prints this row as "Hasani,
    ResNeXt50". A 3x3 convolution to 32 maps; 7 units of 32, 9 of 64 and 8 of 128, the first of 64 and of 128 with
    stride 2; BatchNorm, ELU. The latent is the average of the last 128 maps; ELU, and so z, has both signs.

    Readings taken: images are normalised as in all rows of the tables, with a deviation too, which the stem's weights
    absorb. The network is made for 64 px; 224 px cost twelve times as much.

    Args:
        latent_norm: whether z is normalised over the batch.
    """

    batch_size = 64
    smallest_image = 4

    def __init__(self, latent_norm: LatentNorm = None) -> None:
        encoder = nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1),
            *(BRegUnit(32, 32) for _ in range(7)),
            BRegUnit(32, 64),
            *(BRegUnit(64, 64) for _ in range(8)),
            BRegUnit(64, 128),
            *(BRegUnit(128, 128) for _ in range(7)),
            nn.BatchNorm2d(128),
            nn.ELU(),
        )
        super().__init__(encoder, 128, latent_norm)


class BRegUnit(nn.Module):
    """A pre-activation residual unit, BatchNorm, ELU, 3x3 convolution, twice, beside the shortcut `bounded`.

    With twice as many outputs the first convolution has stride 2, and the shortcut is averaged over 2x2 cells and
    filled up with zeros, half of them before and half behind: (N, C, H, W) -> (N, 2C, ⌈H/2⌉, ⌈W/2⌉).

    Args:
        inputs: C.
        outputs: C or 2C.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.halves = outputs > inputs
        self.alpha = nn.Parameter(torch.ones(()))
        self.beta = nn.Parameter(torch.ones(()))
        self.residual = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ELU(),
            nn.Conv2d(inputs, outputs, 3, stride=2 if self.halves else 1, padding=1),
            nn.BatchNorm2d(outputs),
            nn.ELU(),
            nn.Conv2d(outputs, outputs, 3, padding=1),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Adds shortcut and residual."""
        residual: Tensor = self.residual(maps)
        return residual + self.shortcut(maps)

    def shortcut(self, maps: Tensor) -> Tensor:
        """The bounded maps in the shape of the residual."""
        mapped = bounded(maps, self.alpha, self.beta)
        if not self.halves:
            return mapped
        new = maps.shape[1] // 2
        return F.pad(F.avg_pool2d(mapped, 2, ceil_mode=True), (0, 0, 0, 0, new, new))


def bounded(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """h(x) = arctan(αx / √(β² + 1)) / (α√(β² + 1)), whose derivative is 1 / (1 + β² + α²x²); elementwise, α not 0.

    The derivative is at most 1 / (1 + β²), and |h| at most π / (2|α|√(β² + 1)).

    >>> bounded(torch.tensor([0.0, 1.0, -2.0]), torch.tensor(1.0), torch.tensor(1.0))
    tensor([ 0.0000,  0.4352, -0.6755])
    """
    root = torch.sqrt(beta.square() + 1)
    return torch.atan(alpha * x / root) / (alpha * root)
