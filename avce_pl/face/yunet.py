"""OpenCV's YuNet."""

from hashlib import blake2b
from pathlib import Path

import cv2

from avce_pl.errors import AvceError
from avce_pl.face.detection import Detection, Image, surest_first
from avce_pl.image.crop import Box


class YuNet:
    """OpenCV's small network, also for turned and partly hidden faces.

    Pictures longer than 960 pixels are scaled down to that first. Boxes reach from the forehead to the chin.

    Args:
        model: ``face_detection_yunet_*.onnx`` of the OpenCV Zoo, which OpenCV's wheels do not contain.
    """

    name = "yunet"

    def __init__(self, model: Path) -> None:
        if not model.is_file():
            raise AvceError(
                f"YuNet's model is not at {model}. Fetch face_detection_yunet_2023mar.onnx (MIT licence) from the "
                "OpenCV Zoo, models/face_detection_yunet, and put it there (`avce data prepare` also takes "
                "--yunet-model FILE); the detector haar needs no file."
            )
        self.version = f"opencv {cv2.__version__}, model {blake2b(model.read_bytes(), digest_size=8).hexdigest()}"
        try:
            self._network = cv2.FaceDetectorYN.create(str(model), "", (320, 320), score_threshold=0.7)
        except cv2.error:
            raise AvceError(f"{model} is not a YuNet model that OpenCV {cv2.__version__} can read.") from None
        self._size = (320, 320)

    def __call__(self, image: Image) -> list[Detection]:
        """Finds faces with a score of at least 0.7."""
        height, width = image.shape[:2]
        scale = min(1.0, 960 / max(height, width))
        size = (max(round(scale * width), 1), max(round(scale * height), 1))
        picture = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        if scale < 1:
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        if size != self._size:
            self._network.setInputSize(size)
            self._size = size
        _, faces = self._network.detect(picture)
        return surest_first(
            Detection(Box(*(float(value) / scale for value in face[:4])), float(face[14]), self.name)
            for face in ([] if faces is None else faces)
        )
