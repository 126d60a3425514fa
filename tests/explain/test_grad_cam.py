import torch
from torch import nn

from avce_pl.backbone.alexnet import AlexNet
from avce_pl.backbone.resnet import ResNet
from avce_pl.explain.grad_cam import grad_cam, last_feature_layer, watch


def network() -> tuple[nn.Sequential, nn.Sequential]:
    torch.manual_seed(0)
    encoder = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 5, 2), nn.Softplus(), nn.MaxPool2d(2)
    )
    head = nn.Sequential(nn.Flatten(), nn.Linear(20, 6), nn.Tanh(), nn.Linear(6, 2))
    return encoder.double().requires_grad_(False), head.double().requires_grad_(False)


def slow_map(features: torch.Tensor, head, column: int) -> torch.Tensor:
    """Grad-CAM of one image by central differences of every cell: (C, h, w) -> (h, w)."""
    step, gradient = 1e-6, torch.zeros_like(features)
    for place in torch.cartesian_prod(*(torch.arange(n) for n in features.shape)):
        nudge = torch.zeros_like(features)
        nudge[tuple(place)] = step
        up, down = (head((features + sign * nudge)[None])[0, column] for sign in (1, -1))
        gradient[tuple(place)] = (up - down) / (2 * step)
    total = torch.zeros(features.shape[1:], dtype=features.dtype)
    for channel, slope in zip(features, gradient, strict=True):
        total += slope.mean() * channel
    return total.abs()


def test_maps_are_those_of_a_slow_computation() -> None:
    encoder, head = network()
    images = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    with watch(last_feature_layer(encoder)) as seen:
        output = head(encoder(images))
    (features,) = seen
    assert features.shape == (3, 5, 5, 5)
    for column in (0, 1):
        found = grad_cam(features, output[:, column])
        assert found.max() > 0
        for image, one in enumerate(found):
            expected = slow_map(features[image].detach(), lambda f: head(encoder[-1](f)), column)
            torch.testing.assert_close(one, expected, atol=1e-8, rtol=1e-6)


def test_watching_changes_no_output_and_ends() -> None:
    encoder, head = network()
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    before = head(encoder(images))
    with watch(last_feature_layer(encoder)) as seen:
        torch.testing.assert_close(head(encoder(images)), before)
    head(encoder(images))
    assert len(seen) == 1


def test_the_layer_before_the_last_pooling_is_explained() -> None:
    alexnet, resnet = AlexNet().encoder, ResNet(18).encoder
    for encoder, shape in ((alexnet, (256, 5, 5)), (resnet, (512, 3, 3))):
        with watch(last_feature_layer(encoder)) as seen, torch.no_grad():
            encoder(torch.zeros(1, 3, 96, 96))
        assert seen[0].shape[1:] == shape
