"""OpenCV's cascade of Haar features."""

from pathlib import Path

import cv2

from avce_pl.errors import AvceError
from avce_pl.face.detection import Detection, Image, surest_first
from avce_pl.image.crop import Box


class Haar:
    """Viola and Jones's cascade for frontal faces, which OpenCV's wheels contain.

    Its confidence is n / (n + 10) for n overlapping hits, which orders faces but is not a probability. Boxes
    reach from the brows or the forehead to the chin. On procedural scenes `alt2` without histogram equalisation finds
    as many faces as `default` and `alt`, and is wrong less often (docs/prepare.md).
    """

    name = "haar"
    version = f"opencv {cv2.__version__}"

    def __init__(self) -> None:
        if not hasattr(cv2, "CascadeClassifier"):
            raise AvceError(
                f"OpenCV {cv2.__version__} has no cascade detector. "
                "Install an older one: pip install 'opencv-python-headless<5'."
            )
        bundled = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_alt2.xml"
        self._cascade = cv2.CascadeClassifier(str(bundled))

    def __call__(self, image: Image) -> list[Detection]:
        """Finds frontal faces that are at least a twelfth of the picture's shorter side, and 24 pixels."""
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        least = max(24, min(grey.shape) // 12)
        boxes, hits = self._cascade.detectMultiScale2(grey, scaleFactor=1.1, minNeighbors=5, minSize=(least, least))
        return surest_first(
            Detection(Box(*map(float, box)), int(n) / (int(n) + 10), self.name)
            for box, n in zip(boxes, hits, strict=True)
        )
