"""Where the faces of a picture are: several detectors behind one small interface."""

import importlib
import importlib.util
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from avce_pl.errors import AvceError
from avce_pl.image.crop import Box

Image = NDArray[np.uint8]
DetectorName = Literal["auto", "provided", "haar", "yunet", "mtcnn", "centre"]

YUNET = Path("~/.cache/avce_pl/face_detection_yunet_2023mar.onnx")
"""Where YuNet's model is looked for when no file is given."""


class Detection(NamedTuple):
    """One face: its box in pixels, how sure the detector is (0 to 1, on its own scale), and which detector it was."""

    box: Box
    confidence: float
    detector: str


class Detector(Protocol):
    """Anything that finds faces."""

    name: str
    """Its own name, never "auto"."""
    version: str
    """What decides its results beside the picture: versions of libraries, digest of a model."""

    def __call__(self, image: Image) -> list[Detection]:
        """Finds the faces in (H, W, 3) uint8 RGB; the surest first, none is an empty list."""


def detector(name: str, yunet_model: Path | None = None) -> Detector:
    """Makes a detector.

    Args:
        name: "haar", "yunet", "mtcnn" or "centre"; "auto" is YuNet where its model is there, otherwise Haar.
        yunet_model: YuNet's model file, ``face_detection_yunet_*.onnx`` of the OpenCV Zoo; None for `YUNET`.

    Raises:
        AvceError: the name is unknown, or a package or a model is missing; the text says how to get it.
    """
    model = (yunet_model or YUNET).expanduser()
    if name == "auto":
        name = "yunet" if yunet_model is not None or model.is_file() else "haar"
    if name == "provided":
        raise AvceError(
            "The detector 'provided' takes the boxes that come with a data set, and here are none. "
            "Choose auto, haar, yunet, mtcnn or centre."
        )
    if name == "haar":
        return Haar()
    if name == "yunet":
        return YuNet(model)
    if name == "mtcnn":
        return Mtcnn()
    if name == "centre":
        return Centre()
    raise AvceError(f"There is no detector {name!r}; there are {', '.join(get_args(DetectorName))}.")


class Haar:
    """Viola and Jones's cascade as OpenCV's wheels bundle it: no download, frontal faces.

    Its confidence is n / (n + 10) for n overlapping hits: an order, not a probability. Boxes reach from the brows or
    the forehead to the chin. Measured on procedural scenes, `alt2` without histogram equalisation finds as many
    faces as `default` and `alt`, and is wrong less often (docs/prepare.md).
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
        return _sorted(
            Detection(Box(*map(float, box)), int(n) / (int(n) + 10), self.name)
            for box, n in zip(boxes, hits, strict=True)
        )


class YuNet:
    """OpenCV's small network; finds turned and partly hidden faces, fast. Its model file is not in OpenCV's wheels.

    Pictures longer than 960 pixels are scaled down to that first. Boxes reach from the forehead to the chin.
    """

    name = "yunet"

    def __init__(self, model: Path) -> None:
        if not model.is_file():
            raise AvceError(
                f"YuNet's model is not at {model}. Fetch face_detection_yunet_2023mar.onnx (MIT licence) from the "
                "OpenCV Zoo, models/face_detection_yunet, and put it there (`avce data prepare` also takes "
                "--yunet-model FILE); the detector haar needs no file."
            )
        from hashlib import blake2b

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
        return _sorted(
            Detection(Box(*(float(value) / scale for value in face[:4])), float(face[14]), self.name)
            for face in ([] if faces is None else faces)
        )


class Mtcnn:
    """The cascade of three networks that the authors of AVCE used, as ``facenet-pytorch`` packages it.

    The package holds the weights. Runs on a CUDA device if there is one.
    """

    name = "mtcnn"

    def __init__(self) -> None:
        if importlib.util.find_spec("facenet_pytorch") is None:
            raise AvceError(
                "The detector mtcnn needs facenet-pytorch: pip install --no-deps facenet-pytorch. "
                "(Its own requirements ask for a torch of 2024, hence --no-deps.)"
            )
        from importlib.metadata import version

        import torch

        package = importlib.import_module("facenet_pytorch")
        self.version = f"facenet-pytorch {version('facenet-pytorch')}"
        self._network: Any = package.MTCNN(keep_all=True, device="cuda" if torch.cuda.is_available() else "cpu")

    def __call__(self, image: Image) -> list[Detection]:
        """Finds faces of 20 pixels and more; confidence is the last network's probability."""
        if min(image.shape[:2]) < 20:
            return []
        boxes, scores = self._network.detect(image)
        return _sorted(
            Detection(Box(left, top, right - left, bottom - top), float(score), self.name)
            for (left, top, right, bottom), score in ([] if boxes is None else zip(boxes.tolist(), scores, strict=True))
        )


class Centre:
    """No detector: the central square, confidence 0. For pictures that are faces already."""

    name = "centre"
    version = ""

    def __call__(self, image: Image) -> list[Detection]:
        """Always the central square."""
        height, width = image.shape[:2]
        edge = min(height, width)
        return [Detection(Box((width - edge) // 2, (height - edge) // 2, edge, edge), 0.0, self.name)]


def choose(detections: list[Detection], previous: Box | None = None) -> Detection | None:
    """The face that a video or a picture is about: the largest area x confidence x (1 + overlap with the last box).

    So two equal people are not mixed up from frame to frame, and a false hit is left as soon as a real face is seen.
    """

    def weight(detection: Detection) -> float:
        box = detection.box
        together = 1 + (overlap(box, previous) if previous else 0.0)
        return box.width * box.height * max(detection.confidence, 1e-3) * together

    return max(detections, key=weight, default=None)


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    across = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    down = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    common = max(across, 0.0) * max(down, 0.0)
    return common / (a.width * a.height + b.width * b.height - common)


def _sorted(detections: Any) -> list[Detection]:
    return sorted(detections, key=lambda detection: -detection.confidence)
