from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from avce_pl.dataset.files.image_files import examine
from avce_pl.image.decode import decode, from_pillow, is_cut_jpeg, to_rgb
from avce_pl.inference.model import read_image

RANDOM = np.random.default_rng(0)
PICTURE = cv2.GaussianBlur(RANDOM.integers(0, 256, (64, 48, 3), dtype=np.uint8), (0, 0), 2)
GREY = PICTURE[..., 0]


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("form", "mode"),
    [
        *((form, "RGB") for form in ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "JPEG2000")),
        *(("PNG", mode) for mode in ("L", "P", "1", "RGBA", "I;16")),
        *(("JPEG", mode) for mode in ("L", "CMYK", "YCbCr")),
        *(("TIFF", mode) for mode in ("CMYK", "I;16")),
    ],
)
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_picture_has_the_same_pixels_whatever_it_comes_as(
    form: str, mode: str, orientation: int, tmp_path: Path
) -> None:
    sixteen = Image.fromarray(GREY.astype(np.uint16) * 257)
    image = sixteen if mode == "I;16" else Image.fromarray(PICTURE).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    turns = form in ("JPEG", "PNG", "TIFF") and orientation == 6
    if form == "TIFF" and mode != "RGB":
        turns = False  # Pillow forgets to turn such a file if it opens it by its name
    data = encoded(image, form, **({"exif": exif} if turns else {}))
    (tmp_path / "picture").write_bytes(data)
    pixels = read_image(data)
    assert pixels.dtype == np.uint8
    assert pixels.shape == ((48, 64, 3) if turns else (64, 48, 3))
    with Image.open(tmp_path / "picture") as opened:
        for other in (tmp_path / "picture", str(tmp_path / "picture"), opened, pixels):
            assert np.array_equal(read_image(other), pixels)


def test_depths_are_scaled_and_not_cut() -> None:
    sixteen = GREY.astype(np.uint16) * 257
    eight = np.repeat(GREY[..., None], 3, 2)
    data = np.frombuffer(cv2.imencode(".png", sixteen)[1], np.uint8)
    for pixels in (decode(data), to_rgb(sixteen), from_pillow(Image.fromarray(sixteen)), to_rgb(GREY / 255)):
        assert np.array_equal(pixels, eight)  # type: ignore[arg-type]
    colour = cv2.imencode(".png", PICTURE[..., ::-1].astype(np.uint16) * 257)[1]
    assert np.array_equal(decode(colour), PICTURE)  # type: ignore[arg-type]
    alpha = np.dstack([PICTURE, np.zeros_like(GREY)])
    assert np.array_equal(to_rgb(alpha), PICTURE)
    assert np.array_equal(to_rgb(GREY > 100), np.repeat((GREY > 100)[..., None], 3, 2) * np.uint8(255))


@pytest.mark.parametrize("progressive", [False, True])
def test_what_follows_a_jpeg_is_ignored_and_what_is_missing_is_noticed(progressive: bool, tmp_path: Path) -> None:
    thumbnail = encoded(Image.fromarray(PICTURE[:8, :8]), "JPEG")
    exif = b"Exif\0\0" + thumbnail  # markers within a segment
    data = encoded(Image.fromarray(PICTURE), "JPEG", progressive=progressive, exif=exif, comment=b"\xff\xd9")
    film = b"MotionPhoto_Data\0\0\0\x18ftypmp42" + RANDOM.bytes(100_000) + b"\xff\xda"
    assert not is_cut_jpeg(data)
    assert not is_cut_jpeg(data + film)
    for lost in (2, 20, len(data) // 3):
        assert is_cut_jpeg(data[:-lost])
        assert is_cut_jpeg(data[:-lost] + bytes(lost)), "the end lost to zeros"
    for name, content in {"whole": data, "film": data + film, "cut": data[: len(data) * 2 // 3]}.items():
        (tmp_path / name).write_bytes(content)
    assert examine(tmp_path / "whole")[1] == examine(tmp_path / "film")[1] == ""
    assert examine(tmp_path / "cut")[1] == "damaged or not an image"


@pytest.mark.parametrize("data", [b"", b"text", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n" + bytes(20)])
def test_what_is_not_a_picture_is_none(data: bytes) -> None:
    assert decode(np.frombuffer(data, np.uint8)) is None
