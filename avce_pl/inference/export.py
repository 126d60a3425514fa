"""One ONNX file from a run folder: centre crop, normalisation and networks, in float32 or in static int8."""

import copy
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from avce_pl.config.settings import read_settings
from avce_pl.dataset.core.datamodule import FaceDataModule
from avce_pl.errors import AvceError
from avce_pl.inference.network import InferenceNetwork, load_network
from avce_pl.metrics.valence_arousal import ValenceArousalMetrics
from avce_pl.runs.folder import RunFolder, open_run
from avce_pl.runs.specification import INPUT, OUTPUT
from avce_pl.synthesis.face import FaceStyle
from avce_pl.synthesis.renderer import draw
from avce_pl.training.build import build_datamodule
from avce_pl.utils.files import atomic_path
from avce_pl.utils.progress import track

Faces = NDArray[np.uint8]

PARITY = 1e-5
"""Largest accepted difference between PyTorch and the float32 file, unless PyTorch's own rounding is of that size."""

_BATCHES = (1, 7, 32)
_PARITY_FACES = 256
_QUANTIZED = ["Conv", "Relu", "MaxPool", "Add"]
_ZERO = 114  # the whole number next to ImageNet's mean over the three channels, 114.5
_CALIBRATION_FACES = 256
_CALIBRATION_BATCH = 32
_EVALUATION_BATCH = 64


@dataclass(frozen=True)
class QuantizationLoss:
    """CCC of the float32 and of the int8 file on the faces of a split: (valence, arousal).

    Attributes:
        split: what was predicted.
        faces: how many.
        float32: CCC of the float32 file.
        int8: CCC of the int8 file.
    """

    split: str
    faces: int
    float32: tuple[float, float]
    int8: tuple[float, float]


def export_onnx(run: Path, out: Path) -> float:
    """Writes a run's model as one ONNX file; the number of faces in a batch is free.

    Input and output are described in the file's metadata, see `avce_pl.runs.specification`.

    Args:
        run: the run folder.
        out: the file to write; it is complete or absent.

    Returns:
        The largest difference to PyTorch on 256 faces in batches of 1, 7 and 32. PyTorch computes in float64 there:
        where z is large, its own float32 results differ by 1e-5 from one batch size to the next.

    Raises:
        AvceError: the folder holds no trained run, or the file cannot be written.
        RuntimeError: the exported file does not predict what PyTorch predicts; a defect.
    """
    folder = open_run(run)
    network = load_network(folder)
    with _whole(out) as file:
        faces = _some_faces(folder.specification.resize_size)
        exact = _predict(network, faces, torch.float64)
        onnx.save(_to_onnx(network, folder), file)
        session = _session(file)
        error = max(float(np.abs(_run(session, faces, size) - exact).max()) for size in _BATCHES)
        rounding = float(np.abs(_predict(network, faces, torch.float32) - exact).max())
        if error >= max(PARITY, 3 * rounding):
            raise RuntimeError(f"The exported file differs from PyTorch by {error}.")
    return error


def quantize_int8(run: Path, out: Path) -> QuantizationLoss:
    """Writes a run's model with 8-bit weights and activations: static, QDQ, per channel, calibrated on training faces.

    Weights use seven of their eight bits, because processors with AVX2 but no VNNI add pairs of products in 16 bits,
    which would overflow. The fully connected layers stay in float32: they cost nothing, and in int8 0.1 of CCC.

    Args:
        run: the run folder; its data set must be where it was.
        out: the file to write; it is complete or absent.

    Returns:
        CCC on the run's test split before and after.

    Raises:
        AvceError: the folder holds no trained run, its data are not there, or the file cannot be written.
    """
    folder = open_run(run)
    datamodule = _data(folder)
    train = datamodule.faces.rows("train")
    rows = train[np.linspace(0, len(train) - 1, min(_CALIBRATION_FACES, len(train))).astype(int)]
    calibration = np.stack([datamodule.images[row] for row in rows.tolist()])
    with _whole(out) as small, tempfile.TemporaryDirectory() as temporary:
        exact, prepared = Path(temporary) / "exact.onnx", Path(temporary) / "prepared.onnx"
        onnx.save(_to_onnx(load_network(folder), folder), exact)
        with _quiet():
            quant_pre_process(exact, prepared, skip_symbolic_shape=True)
            model = onnx.load(prepared)
            difference = _normalise_in_the_first_layer(model)
            onnx.save(model, prepared)
            quantize_static(
                prepared,
                small,
                _Calibration(calibration),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=_QUANTIZED,
                per_channel=True,
                reduce_range=False,  # seven bits cost up to .013 of CCC
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                extra_options={
                    "TensorQuantOverrides": {
                        difference: [{"scale": np.array(1, np.float32), "zero_point": np.array(_ZERO, np.uint8)}]
                    }
                },
            )
        model = onnx.load(small)
        _feed_pixels(model, difference)
        onnx.save(model, small)
        return _compare(datamodule, _session(exact), _session(small))


def _to_onnx(network: InferenceNetwork, folder: RunFolder) -> onnx.ModelProto:
    example = torch.from_numpy(_some_faces(folder.specification.resize_size)[:2])
    network(example)  # fills the cache of normalisation constants with real tensors before tracing
    with _quiet():
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            verbose=False,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    assert program is not None
    model = program.model_proto
    for part in (
        model,
        model.graph,
        *model.graph.node,
        *model.graph.input,
        *model.graph.output,
        *model.graph.value_info,
    ):
        del part.metadata_props[:]  # they hold this machine's paths
    onnx.helper.set_model_props(model, folder.specification.to_metadata())
    return model


def _normalise_in_the_first_layer(model: onnx.ModelProto) -> str:
    """Leaves only the subtraction of one whole number before the first convolution, whose weights do the rest.

    Pixels minus a whole number are what int8 layers compute with: see `_feed_pixels`. What lies outside the picture has
    been the mean of each channel, and is that number now; it differs by at most 0.2 standard deviations.

    Returns:
        The name of the difference.
    """
    graph = model.graph
    subtract, divide = (next(node for node in graph.node if node.op_type == kind) for kind in ("Sub", "Div"))
    first = next(node for node in graph.node if divide.output[0] in node.input)
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    names = subtract.input[1], divide.input[1], first.input[1], first.input[2]
    mean, std, weight, bias = (onnx.numpy_helper.to_array(tensors[name]) for name in names)
    weight = weight / std.reshape(1, 3, 1, 1)
    bias = bias - (weight * (mean.reshape(1, 3, 1, 1) - _ZERO)).sum((1, 2, 3))
    for name, value in zip(names, (np.full_like(mean, _ZERO), None, weight, bias), strict=True):
        if value is None:
            graph.initializer.remove(tensors[name])
        else:
            tensors[name].CopyFrom(onnx.numpy_helper.from_array(value, name))
    first.input[0] = subtract.output[0]
    graph.node.remove(divide)
    return str(subtract.output[0])


def _feed_pixels(model: onnx.ModelProto, difference: str) -> None:
    """Feeds the pixels themselves to the first int8 layer: they are its input, quantized with scale 1."""
    graph = model.graph
    subtract = next(node for node in graph.node if difference in node.output)
    cast = next(node for node in graph.node if subtract.input[0] in node.output)
    quantize = next(node for node in graph.node if difference in node.input)
    dequantize = next(node for node in graph.node if quantize.output[0] in node.input)
    dequantize.input[0] = cast.input[0]
    for node in (cast, subtract, quantize):
        graph.node.remove(node)
    graph.initializer.remove(next(tensor for tensor in graph.initializer if tensor.name == subtract.input[1]))


class _Calibration(CalibrationDataReader):  # type: ignore[misc]
    """Hands the calibration faces out in batches."""

    def __init__(self, faces: Faces) -> None:
        self._batches = iter(np.array_split(faces, -(-len(faces) // _CALIBRATION_BATCH)))

    def get_next(self) -> dict[str, Faces] | None:
        """The next batch, ``None`` after the last."""
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def _data(folder: RunFolder) -> FaceDataModule:
    """The data set that the run was trained on."""
    if "_target_" not in folder.config["dataset"]:
        raise AvceError(
            f"{folder.path} was imported without its training data, so int8 cannot be calibrated. Export it in "
            "float32, or fine-tune it on faces of your own first (init_from=...)."
        )
    datamodule = build_datamodule(read_settings(folder.config))
    datamodule.prepare_data()
    return datamodule


def _compare(
    datamodule: FaceDataModule, exact: onnxruntime.InferenceSession, small: onnxruntime.InferenceSession
) -> QuantizationLoss:
    rows = datamodule.faces.rows(datamodule.test_split)
    metrics = ValenceArousalMetrics(), ValenceArousalMetrics()
    parts = np.array_split(rows, -(-len(rows) // _EVALUATION_BATCH))
    for part in track(parts, "Measuring int8 on the test faces", len(parts)):
        faces = np.stack([datamodule.images[row] for row in part.tolist()])
        label = torch.from_numpy(datamodule.faces.labels[part])
        for metric, session in zip(metrics, (exact, small), strict=True):
            metric.update(torch.from_numpy(_run(session, faces, len(faces))), label)
    before, after = (metric.compute() for metric in metrics)
    return QuantizationLoss(
        split=datamodule.test_split,
        faces=len(rows),
        float32=(float(before["ccc_valence"]), float(before["ccc_arousal"])),
        int8=(float(after["ccc_valence"]), float(after["ccc_arousal"])),
    )


def _predict(network: InferenceNetwork, faces: Faces, precision: torch.dtype) -> NDArray[np.floating]:
    """What the network predicts when it computes in that precision: (N, S, S, 3) uint8 -> (N, 2)."""
    precise = copy.deepcopy(network).to(precision)
    parts: list[NDArray[np.floating]] = []
    with torch.inference_mode():
        for at in range(0, len(faces), _BATCHES[-1]):
            images = network.normalised(torch.from_numpy(faces[at : at + _BATCHES[-1]])).to(precision)
            parts.append(precise.regressor(precise.backbone(images)).numpy())
    return np.concatenate(parts)


def _some_faces(side: int) -> Faces:
    """Procedural faces: (256, side, side, 3)."""
    return np.stack([draw(0, subject, 0, side, FaceStyle())[1].image for subject in range(_PARITY_FACES)])


def _run(session: onnxruntime.InferenceSession, faces: Faces, batch: int) -> NDArray[np.float32]:
    parts = [session.run([OUTPUT], {INPUT: faces[at : at + batch]})[0] for at in range(0, len(faces), batch)]
    return np.concatenate(parts)


def _session(file: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """A temporary file beside `out`, tried at once, that gets the name `out` when it is complete."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(out) as temporary:
            temporary.touch()
            yield temporary
    except OSError as error:
        raise AvceError(f"{out} cannot be written: {error.strerror}. Give another --out FILE.") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences what the exporter and the quantizer tell their own developers."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "root")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        levels = [logger.level for logger in loggers]
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
