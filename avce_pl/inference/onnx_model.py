"""A model in an ONNX file, run by onnxruntime; nothing here imports torch."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avce_pl.errors import AvceError
from avce_pl.runs.specification import INPUT, OUTPUT, Specification


def open_onnx(path: Path) -> tuple[Specification, Callable[[NDArray[np.uint8]], NDArray[np.float32]]]:
    """What an ONNX file expects, and the function that predicts: (N, S, S, 3) uint8 RGB -> (N, 2).

    Raises:
        AvceError: onnxruntime is not installed, or the file is missing, damaged or not written by ``avce export``.
    """
    try:
        import onnxruntime
    except ImportError:
        raise AvceError("ONNX files need onnxruntime: pip install 'avce-pl[export]'.") from None
    if not path.is_file():
        raise AvceError(f"There is no file {path}. `avce export RUN --to onnx` writes one.")
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # on the core that decodes the video
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a dozen exception types without a common base
        raise AvceError(f"{path} is damaged or not an ONNX file ({type(error).__name__}).") from error
    specification = Specification.from_metadata(session.get_modelmeta().custom_metadata_map, str(path))

    def predict(faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        prediction: NDArray[np.float32] = session.run([OUTPUT], {INPUT: faces})[0]
        return prediction

    return specification, predict
