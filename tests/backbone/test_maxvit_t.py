import json

import pytest
import torch
from torchvision.models import maxvit_t

from avce_pl.backbone.maxvit_t import MaxViTT
from avce_pl.errors import AvceError


def test_parameter_count() -> None:
    with torch.device("meta"):
        network = MaxViTT(224)
    readout = 512 * 32 + 32 - 512 * 1000  # in the place of the ImageNet classes
    assert sum(p.numel() for p in network.parameters()) == 30_919_624 + readout == 30_424_040


@pytest.mark.parametrize(("side", "partition"), [(64, 2), (96, 3), (224, 7), (448, 7)])
def test_the_partition_follows_the_side(side: int, partition: int) -> None:
    with torch.device("meta"):
        network = MaxViTT(side).eval()
        attention = network.encoder[1].layers[0].layers.window_attention
        assert attention.p == partition
        assert network(torch.empty(2, 3, side, side)).shape == (2, 32)


@pytest.mark.parametrize(("side", "choices"), [(100, "96 or 128"), (20, "32 or 64")])
def test_a_side_that_cannot_be_parted_is_refused(side: int, choices: str) -> None:
    with pytest.raises(AvceError, match=rf"image_size={side} does not fit backbone=maxvit_t.*Choose {choices}"):
        MaxViTT(side)


def test_published_weights_fit_at_their_side(tmp_path) -> None:
    published = maxvit_t().state_dict()
    torch.save(published, tmp_path / "published.pth")
    loaded = MaxViTT(224, weights=str(tmp_path / "published.pth"))
    assert torch.equal(
        loaded.encoder[4].layers[1].layers.MBconv.layers.conv_a[0].weight,
        published["blocks.3.layers.1.layers.MBconv.layers.conv_a.0.weight"],
    )
    assert torch.equal(loaded.compressor[3].weight, published["classifier.3.weight"])
    with pytest.raises(AvceError, match=r"Set dataset\.image_size=224, or start from scratch"):
        MaxViTT(96, weights="imagenet")
    with pytest.raises(AvceError, match="does not fit this backbone"):
        MaxViTT(96, weights=str(tmp_path / "published.pth"))


def test_it_trains_at_a_side_of_its_own(run) -> None:
    folder = run("backbone=maxvit_t", "method=baseline", "dataset.image_size=32", "trainer.max_epochs=1")
    assert json.loads((folder / "metrics.json").read_text())["encoder_map"] == [1, 1]
