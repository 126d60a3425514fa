import subprocess
import sys

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchvision.transforms import v2

from avce_pl.dataset.core.augmentation import Augmentation, normalise

SIDE, SIZE = 24, 16


def coordinates() -> NDArray[np.uint8]:
    """An image whose pixels hold their own row and column."""
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.stack([y, x, 0 * x], axis=-1).astype(np.uint8)


def placement(image: NDArray[np.uint8]) -> tuple[int, int, bool]:
    """Where the crop lies in `coordinates` and whether it is flipped; fails if it is neither."""
    y, x = image[..., 0].astype(int), image[..., 1].astype(int)
    flipped = bool(x[0, 0] > x[0, -1])
    if flipped:
        x = x[:, ::-1]
    top, left = int(y[0, 0]), int(x[0, 0])
    np.testing.assert_array_equal(y, top + np.mgrid[:SIZE, :SIZE][0])
    np.testing.assert_array_equal(x, left + np.mgrid[:SIZE, :SIZE][1])
    return top, left, flipped


def test_albumentations_is_imported_only_when_a_pipeline_is_built_and_never_asks_for_updates() -> None:
    code = (
        "import os, sys; from avce_pl.dataset.core.augmentation import Augmentation\n"
        "assert 'albumentations' not in sys.modules\n"
        "Augmentation(4, True); assert 'albumentations' in sys.modules\n"
        "assert os.environ['NO_ALBUMENTATIONS_UPDATE'] == '1'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_draws_depend_on_seed_epoch_and_row_alone() -> None:
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    keys = [(epoch, row) for epoch in range(3) for row in range(5)]
    one, other = (Augmentation(SIZE, True, 0.4, seed=1) for _ in range(2))
    forwards = {key: one(image, *key) for key in keys}
    backwards = {key: other(image, *key) for key in reversed(keys)}
    for key in keys:
        np.testing.assert_array_equal(forwards[key], backwards[key])
    assert len({array.tobytes() for array in forwards.values()}) == len(keys)
    assert not np.array_equal(Augmentation(SIZE, True, 0.4, seed=2)(image, 0, 0), forwards[0, 0])


def test_crops_and_flips_are_uniform_and_independent() -> None:
    image, augmentation = coordinates(), Augmentation(SIZE, True)
    drawn = np.array([placement(augmentation(image, 0, row)) for row in range(4000)], float)
    positions = SIDE - SIZE + 1
    for offsets in drawn.T[:2]:
        counts = np.bincount(offsets.astype(int), minlength=positions)
        assert len(counts) == positions
        # chi-square with 8 degrees of freedom; 27.9 is exceeded once in 2000 times
        assert ((counts - 4000 / positions) ** 2 / (4000 / positions)).sum() < 27.9
    assert abs(drawn[:, 2].mean() - 0.5) < 0.03
    # albumentations' own seeding makes the flip a function of the vertical offset
    assert np.abs(np.corrcoef(drawn.T) - np.eye(3)).max() < 0.06


def test_evaluation_takes_the_centre() -> None:
    image = coordinates()
    expected = v2.functional.center_crop(torch.from_numpy(image).permute(2, 0, 1), [SIZE, SIZE])
    for row in range(3):
        crop = Augmentation(SIZE, train=False)(image, 0, row)
        np.testing.assert_array_equal(crop, expected.permute(1, 2, 0))


def test_colour_jitter_moves_colours_not_places() -> None:
    image = np.full((SIDE, SIDE, 3), (180, 120, 90), np.uint8)
    plain, jittered = Augmentation(SIZE, True), Augmentation(SIZE, True, 0.4)
    np.testing.assert_array_equal(plain(image, 0, 0), image[:SIZE, :SIZE])
    colours = {tuple(jittered(image, 0, row)[0, 0].tolist()) for row in range(20)}
    assert len(colours) > 15
    assert all(np.ptp(jittered(image, 0, row).reshape(-1, 3), axis=0).max() == 0 for row in range(5))


def test_normalise_agrees_with_torchvision() -> None:
    image = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    before = image.clone()
    result = normalise(image)
    reference = v2.functional.normalize(image / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    torch.testing.assert_close(result, reference, rtol=0, atol=1e-6)
    assert torch.equal(image, before)


@pytest.mark.parametrize("train", [True, False])
def test_images_of_the_right_size_pass(train: bool) -> None:
    image = coordinates()[:SIZE, :SIZE]
    assert Augmentation(SIZE, train)(image, 0, 0).shape == (SIZE, SIZE, 3)
