"""The registry of face detectors. Importing it imports none of them, so that the command line stays quick."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from avce_pl.errors import AvceError
from avce_pl.utils.files import expand_home

if TYPE_CHECKING:
    from avce_pl.face.detection import Detector

PROVIDED = "provided"
"""Instead of a detector: the boxes that come with a data set."""

YUNET = Path("~/.cache/avce_pl/face_detection_yunet_2023mar.onnx")
"""YuNet's model where no file is given."""


class Entry(NamedTuple):
    """One detector.

    Attributes:
        build: Builds it, given a model file; ``None`` for its usual place, or where it needs none.
        summary: What it is, for the help of the command line.
        ready: Whether "auto" can take it on this machine, given the same file; ``None`` if "auto" never does.
        adds_margin: Whether the crop exceeds the detector's box by the margin.
    """

    build: "Callable[[Path | None], Detector]"
    summary: str
    ready: Callable[[Path | None], bool] | None = None
    adds_margin: bool = True


def _yunet(model: Path | None) -> "Detector":
    from avce_pl.face.yunet import YuNet

    return YuNet(expand_home(model or YUNET, "give the model's file with --yunet-model"))


def _haar(model: Path | None) -> "Detector":
    from avce_pl.face.haar import Haar

    return Haar()


def _mtcnn(model: Path | None) -> "Detector":
    from avce_pl.face.mtcnn import Mtcnn

    return Mtcnn()


def _centre(model: Path | None) -> "Detector":
    from avce_pl.face.centre import Centre

    return Centre()


def _is_there(model: Path) -> bool:
    try:
        return expand_home(model, "").is_file()
    except AvceError:
        return False


DETECTORS = {
    "yunet": Entry(
        _yunet,
        "OpenCV's small network, needs its model file",
        ready=lambda model: model is not None or _is_there(YUNET),
    ),
    "haar": Entry(_haar, "OpenCV's cascade for frontal faces", ready=lambda model: True),
    "mtcnn": Entry(_mtcnn, "three networks, needs facenet-pytorch"),
    "centre": Entry(_centre, "the central square, for pictures that are faces already", adds_margin=False),
}
"""Name -> detector. "auto" takes the first that is ready."""


def build_detector(name: str, model: Path | None = None) -> "Detector":
    """Builds a detector.

    Args:
        name: A name in `DETECTORS`, or "auto".
        model: The detector's model file; ``None`` for its usual place, or where it needs none.

    Raises:
        AvceError: the name is unknown, or a package or a model is missing; the text says how to get it.
    """
    if name == "auto":
        name = next(name for name, entry in DETECTORS.items() if entry.ready and entry.ready(model))
    if name == PROVIDED:
        *names, last = ("auto", *DETECTORS)
        raise AvceError(
            f"The detector {PROVIDED!r} takes the boxes that come with a data set, and here are none. "
            f"Choose {', '.join(names)} or {last}."
        )
    if name not in DETECTORS:
        raise AvceError(f"There is no detector {name!r}; there are {', '.join(('auto', PROVIDED, *DETECTORS))}.")
    return DETECTORS[name].build(model)


def adds_margin(detector: str) -> bool:
    """Whether the crop around a box exceeds it by the margin, in preparation and prediction alike.

    Args:
        detector: Its name; true of `PROVIDED` and of detectors outside the registry.
    """
    return detector not in DETECTORS or DETECTORS[detector].adds_margin


def margin_for(detector: str, margin: float) -> float:
    """The margin of the crop around a detector's box, see `crop_face`: 0 for detectors that add none."""
    return margin if adds_margin(detector) else 0.0


def describe_detectors() -> str:
    """The detectors and what they are, for the help of the command line."""
    automatic = ", ".join(name for name, entry in DETECTORS.items() if entry.ready)
    listed = "; ".join(f"{name}: {entry.summary}" for name, entry in DETECTORS.items())
    return f"{listed}; auto: the first of {automatic} that works here"
