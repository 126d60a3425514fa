"""Data-dependent initialisation: ours, not in the paper."""

import torch
from torch import Tensor, nn

# Mean of a layer's outputs before its ReLU, in standard deviations: nearly all of the signal passes.
_SHIFT = 2.0
# Width of the Gaussian over a filter's window, as a share of the window.
_WINDOW = 0.25


@torch.no_grad()
def initialise_from_data(network: nn.Module, images: Tensor, seed: int) -> None:
    """Gives a network without batch normalisation initial weights with which it learns from the first batch.

    AlexNet trained from scratch sits on a plateau for a thousand batches. With torch's weights the signal shrinks
    from layer to layer. Scaling each channel to zero mean and unit variance on data (Krähenbühl et al.,
    "Data-dependent initializations of convolutional neural networks", 2016) repairs the size of the signal, but half
    of it dies in every ReLU, and after six random layers little of the face is left: a ridge regression on the
    features explains less than one on the pixels. So here each channel

    - is a random filter that sums to zero and is heaviest in its centre, so that it sees edges, not brightness;
    - has unit variance on `images`, and a mean of two standard deviations: its ReLU lets the signal through. The
      last layer, whose ReLU gives z, has zero mean, so that half of z is active.

    The architecture stays as it is. Layers followed by batch normalisation carry no bias in torchvision, and are left
    alone. The result depends on `seed` and `images` only.

    Args:
        network: a network whose layers are called in one fixed order, such as a `Backbone`.
        images: (N, 3, H, W) normalised images; 256 are plenty.
        seed: seed of the weights.
    """
    generator = torch.Generator().manual_seed(seed)
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear) and m.bias is not None]

    def rescale(layer: nn.Conv2d | nn.Linear, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        axes = [axis for axis in range(output.ndim) if axis != 1]
        std, mean = torch.std_mean(output, dim=axes, correction=0)
        std = std.clamp_min(1e-6)  # a channel that is constant on these images keeps a finite scale
        shift = 0.0 if layer is layers[-1] else _SHIFT
        layer.weight /= std.reshape(-1, *[1] * (layer.weight.ndim - 1))
        layer.bias.copy_(shift - mean / std)  # type: ignore[union-attr]
        shape = [-1 if axis == 1 else 1 for axis in range(output.ndim)]
        return (output - mean.reshape(shape)) / std.reshape(shape) + shift

    handles = []
    for layer in layers:
        weight = torch.empty(layer.weight.shape).normal_(generator=generator)
        if isinstance(layer, nn.Conv2d):
            weight *= _window(layer.kernel_size[0])[:, None] * _window(layer.kernel_size[1])
        layer.weight.copy_(weight - weight.flatten(1).mean(1).reshape(-1, *[1] * (weight.ndim - 1)))
        layer.bias.zero_()  # type: ignore[union-attr]
        handles.append(layer.register_forward_hook(rescale))
    training = network.training
    network.eval()  # no dropout: the statistics are those of the whole layer
    try:
        network(images)
    finally:
        network.train(training)
        for handle in handles:
            handle.remove()


def _window(size: int) -> Tensor:
    """A Gaussian over the `size` positions of one side of a filter."""
    position = torch.arange(size) - (size - 1) / 2
    return torch.exp(-(position**2) / (2 * (_WINDOW * size) ** 2))
