import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import v2

from avce_pl.image.crop import Box, crop_face, misplaced


def picture(height: int = 40, width: int = 50) -> NDArray[np.uint8]:
    """Every pixel tells where it is: row + 1, column + 1, and noise."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(0).integers(1, 256, (height, width))
    return np.stack([y + 1, x + 1, noise], axis=-1).astype(np.uint8)


@pytest.mark.parametrize(
    ("box", "margin", "left", "top", "edge"),
    [
        (Box(10, 12, 8, 8), 0.0, 10, 12, 8),
        (Box(10, 12, 8, 8), 0.5, 8, 10, 12),
        (Box(10, 12, 20, 8), 0.0, 10, 6, 20),  # wide: the longer side counts, and the centre stays
        (Box(20, 5, 6, 20), 0.3, 10, 2, 26),
        (Box(10.4, 12.4, 8.2, 7.9), 0.0, 11, 12, 8),  # whole pixels
        (Box(0, 0, 40, 40), 0.0, 0, 0, 40),
    ],
)
def test_the_square_is_centred_on_the_box(box: Box, margin: float, left: int, top: int, edge: int) -> None:
    image = picture()
    expected = image[top : top + edge, left : left + edge]
    np.testing.assert_array_equal(crop_face(image, box, edge, margin), expected)


@pytest.mark.parametrize(
    ("box", "margin"),
    [
        (Box(-5, -3, 16, 16), 0.0),
        (Box(40, 30, 16, 16), 0.0),
        (Box(0, 0, 50, 40), 0.0),
        (Box(5, 5, 10, 30), 1.0),
        (Box(-30, -35, 100, 100), 0.0),
        (Box(49.5, 39.5, 30, 30), 0.5),
    ],
)
def test_outside_the_picture_it_is_black(box: Box, margin: float) -> None:
    image = picture()
    edge = int(max(box.width, box.height) * (1 + margin) + 0.5)
    crop = crop_face(image, box, edge, margin)
    centre_x, centre_y = box.x + box.width / 2, box.y + box.height / 2
    for row in range(edge):  # slow and obvious: where does each pixel come from?
        for column in range(edge):
            y = int(np.floor(centre_y - edge / 2 + 0.5)) + row
            x = int(np.floor(centre_x - edge / 2 + 0.5)) + column
            expected = image[y, x] if 0 <= y < 40 and 0 <= x < 50 else (0, 0, 0)
            assert tuple(crop[row, column]) == tuple(expected)


def test_the_size_is_the_one_asked_for_and_small_faces_do_not_alias() -> None:
    image = picture()
    for side in (1, 7, 64):
        crop = crop_face(image, Box(3, 4, 30, 20), side, 0.2)
        assert crop.shape == (side, side, 3)
        assert crop.dtype == np.uint8
        assert crop.flags["C_CONTIGUOUS"]
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    small = crop_face(stripes, Box(0, 0, 64, 64), 16, 0.0)
    assert np.abs(small[:, 1:-1].astype(int) - 100).max() < 10


def test_a_resized_square_keeps_its_place() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[40:60, 20:40] = 255  # the box itself, in white
    crop = crop_face(image, Box(20, 40, 20, 20), 80, 1.0)[..., 0]
    assert (crop[22:58, 22:58] == 255).all()
    assert not crop[:18].any()
    assert not crop[62:].any()
    assert not crop[:, :18].any()
    assert not crop[:, 62:].any()


@pytest.mark.parametrize(("height", "width", "side"), [(60, 30, 30), (64, 96, 32), (20, 20, 32), (100, 100, 33)])
def test_without_a_box_it_is_what_the_released_code_does(height: int, width: int, side: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    crop = v2.Compose([v2.Resize(side), v2.CenterCrop(side)])
    expected = np.asarray(crop(Image.fromarray(picture))).astype(int)
    result = crop_face(picture, None, side, 0.5)
    assert result.shape == (side, side, 3)
    # At the border Pillow, which resizes first and crops then, sees what lies beyond.
    assert np.abs(result - expected)[1:-1, 1:-1].max() <= 2


def test_it_is_the_same_without_torch() -> None:
    program = (
        "import sys, numpy as np\n"
        "from avce_pl.image.crop import Box, crop_face\n"
        "image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)\n"
        "crop = crop_face(image, Box(10, -5, 60, 70), 48, 0.3)\n"
        "assert 'torch' not in sys.modules\n"
        "sys.stdout.buffer.write(crop.tobytes())\n"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    with_torch = crop_face(image, Box(10, -5, 60, 70), 48, 0.3)
    difference = np.abs(np.frombuffer(output, np.uint8).reshape(48, 48, 3).astype(int) - with_torch)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        (Box(50, 0, 5, 5), "box outside the image"),
        (Box(0, -5, 5, 5), "box outside the image"),
        (Box(0, 0, 0, 5), "box without a size"),
        (Box(0, 0, 5, -5), "box without a size"),
        (Box(float("nan"), 0, 5, 5), "box without a size"),
        (Box(-500, -500, 1e6, 1e6), "box far larger than the image"),
    ],
)
def test_absurd_boxes_are_refused(box: Box, reason: str) -> None:
    assert misplaced(box, 40, 50) == reason
    with pytest.raises(ValueError, match=reason):
        crop_face(picture(), box, 10, 0.0)
    assert misplaced(Box(49.5, 39.5, 5, 5), 40, 50) == ""
