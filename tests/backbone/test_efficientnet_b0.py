import torch
from torchvision.models import efficientnet_b0

from avce_pl.backbone.efficientnet_b0 import EfficientNetB0


def test_parameter_counts() -> None:
    network = EfficientNetB0()
    assert sum(p.numel() for p in network.encoder.parameters()) == 4_007_548
    assert sum(p.numel() for p in network.compressor.parameters()) == 1280 * 32 + 32


def test_published_weights_fit(tmp_path) -> None:
    published = efficientnet_b0().state_dict()
    torch.save(published, tmp_path / "published.pth")
    loaded = EfficientNetB0(weights=str(tmp_path / "published.pth")).encoder.state_dict()
    assert all(torch.equal(tensor, published[f"features.{name}"]) for name, tensor in loaded.items())


def test_training_draws_no_random_numbers_without_dropout() -> None:
    network, images = EfficientNetB0(dropout=0.0), torch.randn(4, 3, 64, 64)
    torch.testing.assert_close(network(images), network(images), atol=0, rtol=0)
