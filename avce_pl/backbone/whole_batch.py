"""Layers of a backbone that treat the shares of all processes as the one batch that they are."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


def share_batches(network: nn.Module) -> None:
    """Lets every BatchNorm and Dropout below a network work on the batch of all processes, from here on.

    A network that is trained by several processes then takes the same steps as by one. torch's SyncBatchNorm does not
    run on a CPU. Parameters, buffers and their names stay.
    """
    for layer in network.modules():
        if type(layer) is nn.BatchNorm2d:
            layer.__class__ = WholeBatchNorm2d
        elif type(layer) is nn.BatchNorm1d:
            layer.__class__ = WholeBatchNorm1d
        elif type(layer) is nn.Dropout:
            layer.__class__ = WholeBatchDropout


class WholeBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d with the moments of all processes' shares, equal or not; (N, C, H, W) -> (N, C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name of the parent
        """Normalises."""
        return _normalise(self, input) if self.training else super().forward(input)


class WholeBatchNorm1d(nn.BatchNorm1d):
    """BatchNorm1d with the moments of all processes' shares, equal or not; (N, C) -> (N, C)."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name of the parent
        """Normalises."""
        return _normalise(self, input[:, :, None, None]).flatten(1) if self.training else super().forward(input)


def _normalise(norm: nn.BatchNorm1d | nn.BatchNorm2d, maps: Tensor) -> Tensor:
    values = maps.float() if maps.dtype.itemsize < 4 else maps
    count = _sum(values.new_tensor(maps.numel() / maps.shape[1]))
    mean = _sum(values.sum((0, 2, 3))) / count
    centred = values - mean[:, None, None]
    variance = _sum(centred.square().sum((0, 2, 3))) / count
    if norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None:
        with torch.no_grad():
            norm.num_batches_tracked += 1
            momentum = norm.momentum if norm.momentum is not None else 1 / float(norm.num_batches_tracked)
            norm.running_mean.lerp_(mean.to(norm.running_mean), momentum)
            norm.running_var.lerp_((variance * count / (count - 1)).to(norm.running_var), momentum)
    scale = torch.rsqrt(variance + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight
    result = centred * scale[:, None, None]
    if norm.bias is not None:
        result = result + norm.bias[:, None, None]
    return result.to(maps.dtype)


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
