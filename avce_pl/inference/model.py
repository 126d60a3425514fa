"""A trained model in Python: ``from avce_pl import load``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

import numpy as np
from numpy.typing import NDArray

from avce_pl.errors import AvceError
from avce_pl.face.detection import Detection, Detector
from avce_pl.face.detectors import build_detector, margin_for
from avce_pl.image.crop import Box, crop_face
from avce_pl.image.decode import decode, from_pillow, to_rgb
from avce_pl.runs.specification import Specification

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

    Picture = str | Path | bytes | NDArray[Any] | PillowImage

Pixels = NDArray[np.uint8]
Network = Callable[[Pixels], NDArray[np.float32]]
"""Cropped faces (N, S, S, 3) uint8 RGB -> (N, 2) valence, arousal."""

BATCH = 32
"""Faces that the network sees at a time."""


@dataclass(frozen=True)
class Prediction:
    """What a model says about one face.

    Attributes:
        valence: unpleasant (-1) to pleasant (1); not clipped.
        arousal: calm (-1) to excited (1); not clipped.
        box: the face, in pixels of the image; ``None`` where the whole image was taken as the face.
        confidence: of the detection, on the detector's own scale; ``None`` where it does not say. It says nothing about
            valence and arousal.
        detector: what found the face; "none" where the whole image was taken as the face.
    """

    valence: float
    arousal: float
    box: Box | None
    confidence: float | None
    detector: str


class Model:
    """A trained model with the preprocessing it was tested with. Make one with `load`.

    Attributes:
        specification: how faces are cropped for it.
    """

    def __init__(self, specification: Specification, network: Network) -> None:
        self.specification = specification
        self._network = network

    @overload
    def predict(  # type: ignore[overload-overlap] # a str is a sequence of str
        self, images: "Picture", detect: str | Detector | None = "auto"
    ) -> list[Prediction]: ...

    @overload
    def predict(
        self, images: "Sequence[Picture]", detect: str | Detector | None = "auto"
    ) -> list[list[Prediction]]: ...

    def predict(
        self,
        images: "Picture | Sequence[Picture]",
        detect: str | Detector | None = "auto",
    ) -> list[Prediction] | list[list[Prediction]]:
        """Finds the faces of an image, or of each of several, and predicts valence and arousal.

        Args:
            images: a path, the bytes of a file, a Pillow image, an array (H, W, 3) whose channels are red, green, blue
                (OpenCV's ``imread`` gives blue, green, red: convert first; depths as in `avce_pl.image.decode.to_rgb`),
                or a list of these.
            detect: a detector's name, see `avce_pl.face.detectors`, or one of your own; ``None`` where an
                image is a cropped face already, as in most data sets.

        Returns:
            One `Prediction` per face, the surest detection first, none where there is no face; for a list of images a
            list of these.

        Raises:
            AvceError: an image cannot be read, or there is no such detector.
        """
        single = isinstance(images, str | bytes) or not isinstance(images, Sequence)
        inputs: Any = [images] if single else images
        find = build_detector(detect) if isinstance(detect, str) else detect
        results: list[list[Prediction]] = []
        crops: list[Pixels] = []
        waiting: list[tuple[list[Prediction], Detection | None]] = []

        def flush() -> None:
            for (found, detection), (valence, arousal) in zip(waiting, self.predict_crops(crops).tolist(), strict=True):
                box, confidence, name = detection or (None, None, "none")
                found.append(Prediction(valence, arousal, box, confidence, name))
            crops.clear()
            waiting.clear()

        for item in inputs:
            image = read_image(item)
            results.append([])
            for detection in find(image) if find else [None]:
                crops.append(self.crop(image, detection))
                waiting.append((results[-1], detection))
                if len(crops) == BATCH:
                    flush()
        flush()
        return results[0] if single else results

    def crop(self, image: Pixels, detection: Detection | None) -> Pixels:
        """The square around a face that the network expects: (S, S, 3) uint8, S = `specification.resize_size`.

        Without a detection the picture is taken as a crop: no margin is added.
        """
        side, margin = self.specification.resize_size, self.specification.margin
        if detection is None:
            return crop_face(image, None, side, margin)
        try:
            return crop_face(image, detection.box, side, margin_for(detection.detector, margin))
        except ValueError as error:
            raise AvceError(f"The detector {detection.detector} gave a useless box: {error}.") from error

    def predict_crops(self, crops: Sequence[Pixels]) -> NDArray[np.float32]:
        """Predicts from faces that `crop` has cut out: N x (S, S, 3) uint8 RGB -> (N, 2) valence, arousal."""
        if not crops:
            return np.empty((0, 2), np.float32)
        parts = [self._network(np.stack(crops[at : at + BATCH])) for at in range(0, len(crops), BATCH)]
        return np.concatenate(parts)


def load(path: str | Path, trust: Sequence[str] = ()) -> Model:
    """Loads a trained model.

    Args:
        path: a run folder, or an ONNX file that ``avce export`` wrote, which needs onnxruntime instead of torch.
        trust: packages of your own whose classes the run's configuration may name; loading runs their code.

    Raises:
        AvceError: there is no such model.
    """
    path = Path(path)
    if path.suffix.lower() == ".onnx":
        from avce_pl.inference.onnx_model import open_onnx

        return Model(*open_onnx(path))
    if path.is_file():
        raise AvceError(f"{path} is not a model: give a run folder, or an .onnx file that `avce export` wrote.")
    from avce_pl.config import instantiate
    from avce_pl.inference.network import load_predictor
    from avce_pl.runs.folder import open_run

    instantiate.trust(trust)
    run = open_run(path)
    return Model(run.specification, load_predictor(run))


def read_image(source: "Picture") -> Pixels:
    """An image as (H, W, 3) uint8 RGB, turned as its EXIF data says; the same pixels whatever it comes as.

    Args:
        source: a path, the bytes of a file, a Pillow image, or an array as in `avce_pl.image.decode.to_rgb`.

    Raises:
        AvceError: it cannot be read, or is not an image.
    """
    try:
        if isinstance(source, np.ndarray):
            return to_rgb(source)
        if hasattr(source, "convert"):
            return from_pillow(cast(Any, source))
    except ValueError as error:
        raise AvceError(f"The image cannot be used: {error}. Give several images as a list.") from error
    if isinstance(source, bytes):
        return _decoded(np.frombuffer(source, np.uint8), "The image")
    if not isinstance(source, str | Path):
        raise AvceError(f"{type(source).__name__} is not an image: give a path, bytes, a Pillow image or an array.")
    try:
        data = np.fromfile(source, np.uint8)
    except OSError as error:
        raise AvceError(f"{source} cannot be opened: {error.strerror or error}.") from error
    return _decoded(data, str(source))


def _decoded(data: Pixels, name: str) -> Pixels:
    image = decode(data)
    if image is None:
        raise AvceError(f"{name} is damaged or not an image.")
    return image
