"""The middle of the picture."""

from avce_pl.face.detection import Detection, Image
from avce_pl.image.crop import Box


class Centre:
    """The central square with confidence 0, for pictures that are faces already."""

    name = "centre"
    version = ""

    def __call__(self, image: Image) -> list[Detection]:
        """Always the central square."""
        height, width = image.shape[:2]
        edge = min(height, width)
        return [Detection(Box((width - edge) // 2, (height - edge) // 2, edge, edge), 0.0, self.name)]
