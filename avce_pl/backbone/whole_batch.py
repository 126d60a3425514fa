"""Layers of a backbone that treat the shares of all processes as the one batch that they are."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


def share_batches(network: nn.Module) -> None:
    """Lets every BatchNorm2d and Dropout below a network work on the batch of all processes, from here on.

    A network that is trained by several processes then takes the same steps as by one. torch's SyncBatchNorm does not
    run on a CPU. Parameters, buffers and their names stay.
    """
    for layer in network.modules():
        if type(layer) is nn.BatchNorm2d:
            layer.__class__ = WholeBatchNorm2d
        elif type(layer) is nn.Dropout:
            layer.__class__ = WholeBatchDropout


class WholeBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d with the moments of all processes' equal shares; (N, C, H, W) -> (N, C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name of the parent
        """Normalises."""
        if not self.training:
            return super().forward(input)
        processes = torch.distributed.get_world_size()
        values = input.float() if input.dtype.itemsize < 4 else input
        mean = _sum(values.mean((0, 2, 3))) / processes
        centred = values - mean[:, None, None]
        variance = _sum(centred.square().mean((0, 2, 3))) / processes
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            count = processes * input.numel() / input.shape[1]
            with torch.no_grad():
                self.num_batches_tracked += 1
                momentum = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
                self.running_mean.lerp_(mean.to(self.running_mean), momentum)
                self.running_var.lerp_((variance * count / (count - 1)).to(self.running_var), momentum)
        scale = torch.rsqrt(variance + self.eps)
        if self.weight is not None:
            scale = scale * self.weight
        result = centred * scale[:, None, None]
        if self.bias is not None:
            result = result + self.bias[:, None, None]
        return result.to(input.dtype)


class WholeBatchDropout(nn.Dropout):
    """Dropout that drops what one process with the whole batch and the same seed would drop."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name of the parent
        """Drops."""
        if not self.training or self.p == 0:
            return input
        rank, processes = torch.distributed.get_rank(), torch.distributed.get_world_size()
        whole = input.new_ones((processes * len(input), *input.shape[1:]))
        return input * F.dropout(whole, self.p)[rank * len(input) : (rank + 1) * len(input)]


def _sum(tensor: Tensor) -> Tensor:
    """The sum over all processes, with gradients."""
    summed: Any = all_reduce(tensor)  # type: ignore[no-untyped-call]
    return summed  # type: ignore[no-any-return]
