"""MTCNN as facenet-pytorch packages it."""

import importlib
import importlib.util
from importlib.metadata import version
from typing import Any

from avce_pl.errors import AvceError
from avce_pl.face.detection import Detection, Image, surest_first
from avce_pl.image.crop import Box


class Mtcnn:
    """The cascade of three networks that the authors of AVCE used, as ``facenet-pytorch`` packages it.

    The package contains the weights. Runs on a CUDA device if there is one.
    """

    name = "mtcnn"

    def __init__(self) -> None:
        if importlib.util.find_spec("facenet_pytorch") is None:
            raise AvceError(
                "The detector mtcnn needs facenet-pytorch: pip install --no-deps facenet-pytorch. "
                "(Its own requirements name a torch of 2024, hence --no-deps.)"
            )
        import torch

        package = importlib.import_module("facenet_pytorch")
        self.version = f"facenet-pytorch {version('facenet-pytorch')}"
        self._network: Any = package.MTCNN(keep_all=True, device="cuda" if torch.cuda.is_available() else "cpu")

    def __call__(self, image: Image) -> list[Detection]:
        """Finds faces of 20 pixels and more; confidence is the last network's probability."""
        if min(image.shape[:2]) < 20:
            return []
        boxes, scores = self._network.detect(image)
        return surest_first(
            Detection(Box(left, top, right - left, bottom - top), float(score), self.name)
            for (left, top, right, bottom), score in ([] if boxes is None else zip(boxes.tolist(), scores, strict=True))
        )
