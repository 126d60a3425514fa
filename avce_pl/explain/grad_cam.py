"""Grad-CAM (Selvaraju et al., 2017) of a scalar output at the encoder's last feature maps."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

_POOLING = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)


def last_feature_layer(encoder: nn.Module) -> nn.Module:
    """The layer whose output is explained: the encoder's last one that does not pool.

    For AlexNet and VGG it is the ReLU after the last convolution, 13 x 13 and 14 x 14 cells at 224 px; for ResNets
    the last residual block, 7 x 7.
    """
    layers = [*encoder.children()] if isinstance(encoder, nn.Sequential) else [encoder]
    return next(layer for layer in reversed(layers) if not isinstance(layer, _POOLING))


@contextmanager
def watch(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Makes the layer's output the start of the graph of gradients; the list holds it after every forward pass.

    Nothing before the layer is differentiated if its parameters do not ask for it.
    """
    seen: list[Tensor] = []

    def start_here(_layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        seen.append(output.detach().requires_grad_())
        return seen[-1]

    handle = layer.register_forward_hook(start_here)
    try:
        yield seen
    finally:
        handle.remove()


def grad_cam(features: Tensor, output: Tensor) -> Tensor:
    """Where the features lie that move an output, up or down.

    The map of image n is |Σ_c w_nc A_nc|, w_nc the mean over space of ∂y_n / ∂A_nc. Grad-CAM has a ReLU here, as it
    explains the score of a class, of which only more is of interest. Valence and arousal are signed, and their zero is
    no absence of evidence: it depends on biases. With the ReLU, in the direction of the prediction, a third of the maps
    of short trainings were empty.

    Args:
        features: A, (N, C, h, w), from `watch`.
        output: y, (N,), computed from `features`; that of an image must not depend on other images.

    Returns:
        (N, h, w), non-negative; all zero where the output has no gradient.
    """
    (gradient,) = torch.autograd.grad(output.sum(), features, retain_graph=True)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return (weights * features.detach()).sum(dim=1).abs()
