"""Sizes of pictures on their way to a network."""


def resize_side(image_size: int, resize_size: int | None) -> int:
    """Side that faces are resized to before the crop; ``None`` is 8/7 of `image_size`, 256 for 224."""
    return resize_size or round(image_size * 8 / 7)
