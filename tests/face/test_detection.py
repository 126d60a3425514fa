import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from avce_pl.errors import AvceError
from avce_pl.face.detection import Detection, choose, overlap
from avce_pl.face.detectors import DETECTORS, Entry, build_detector, describe_detectors, margin_for
from avce_pl.image.crop import Box
from avce_pl.synthesis.face import FaceStyle, sample_face
from avce_pl.synthesis.renderer import Rendered, render

ASTRONAUT = Box(177, 66, 97, 97)  # by eye: brows to chin, temple to temple


def scene(subject: int, crop: float = 0.4, size: int = 240) -> Rendered:
    """A person at some distance, in a room."""
    return render(replace(sample_face(7, subject, 0, FaceStyle(level=0.6)), crop=crop), size)


def pooled_brightness(path: Path) -> None:
    """A model with YuNet's inputs and outputs that takes bright squares of 32 pixels for faces."""
    from onnx import TensorProto, helper, save

    nodes, outputs = [], []
    constants = {
        "minus_one": np.array([1, -1, 1], np.int64),
        "inverse": np.array([1 / 255], np.float32),
        "nothing": np.zeros(1, np.float32),
        "boxes": np.tile(np.array([0.5, 0.5, 0, 0], np.float32), (1, 1, 1)),
        "channel": np.array([1, 0, 0], np.float32).reshape(1, 3, 1, 1),
    }
    for stride in (8, 16, 32):
        n = str(stride)
        keep = "inverse" if stride == 32 else "nothing"
        nodes += [
            helper.make_node(
                "AveragePool", ["input"], [f"pool_{n}"], kernel_shape=[stride, stride], strides=[stride, stride]
            ),
            helper.make_node("Conv", [f"pool_{n}", "channel"], [f"blue_{n}"]),
            helper.make_node("Reshape", [f"blue_{n}", "minus_one"], [f"flat_{n}"]),
            helper.make_node("Mul", [f"flat_{n}", keep], [f"cls_{n}"]),
            helper.make_node("Mul", [f"flat_{n}", keep], [f"obj_{n}"]),
            helper.make_node("Mul", [f"flat_{n}", "nothing"], [f"zero_{n}"]),
            helper.make_node("Add", [f"zero_{n}", "boxes"], [f"bbox_{n}"]),
            helper.make_node("Concat", [f"zero_{n}"] * 10, [f"kps_{n}"], axis=2),
        ]
    for kind, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
        for stride in (8, 16, 32):
            shape = [1, (320 // stride) ** 2, width]
            outputs.append(helper.make_tensor_value_info(f"{kind}_{stride}", TensorProto.FLOAT, shape))
    tensors = [
        helper.make_tensor(
            name, TensorProto.INT64 if v.dtype == np.int64 else TensorProto.FLOAT, v.shape, v.ravel().tolist()
        )
        for name, v in constants.items()
    ]
    picture = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 320, 320])
    graph = helper.make_graph(nodes, "yunet", [picture], outputs, tensors)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))


def test_haar_finds_the_face_in_a_photograph() -> None:
    (face,) = build_detector("haar")(data.astronaut())
    assert overlap(face.box, ASTRONAUT) > 0.8
    assert 0.5 < face.confidence < 1
    assert face.detector == "haar"


def test_haar_finds_procedural_faces_in_larger_scenes() -> None:
    haar = build_detector("haar")
    found = 0
    for subject in range(12):
        drawn = scene(subject)
        faces = haar(drawn.image)
        found += bool(faces) and overlap(faces[0].box, Box(*drawn.box)) > 0.4
    assert found >= 11


def test_haar_finds_several_faces_and_sorts_them() -> None:
    image = np.hstack([scene(1).image, scene(4).image])
    faces = build_detector("haar")(image)
    assert sorted(int(face.box.x > 240) for face in faces) == [0, 1]
    assert faces[0].confidence >= faces[1].confidence


@pytest.mark.parametrize("name", ["coffee", "chelsea", "rocket"])
def test_haar_finds_no_face_where_there_is_none(name: str) -> None:
    assert build_detector("haar")(getattr(data, name)()) == []


def test_centre_is_the_central_square() -> None:
    (face,) = build_detector("centre")(np.zeros((30, 50, 3), np.uint8))
    assert face == Detection(Box(10, 0, 30, 30), 0.0, "centre")


def bright(*places: tuple[int, int], height: int = 320, width: int = 320, size: int = 32) -> NDArray[np.uint8]:
    image = np.zeros((height, width, 3), np.uint8)
    for x, y in places:
        image[y : y + size, x : x + size] = (10, 20, 255 if (x, y) == places[0] else 230)
    return image


def test_yunet_boxes_are_in_pixels_of_the_picture(tmp_path: Path) -> None:
    pooled_brightness(tmp_path / "model.onnx")
    yunet = build_detector("yunet", tmp_path / "model.onnx")
    first, second = yunet(bright((64, 96), (224, 32)))
    np.testing.assert_allclose(first.box, (64, 96, 32, 32), atol=0.01)
    np.testing.assert_allclose(second.box, (224, 32, 32, 32), atol=0.01)
    assert first.confidence == pytest.approx(1.0, abs=0.01)
    assert second.confidence == pytest.approx(230 / 255, abs=0.01)
    assert yunet(np.zeros((320, 320, 3), np.uint8)) == []
    # another size, and one that is scaled down by two
    (wide,) = yunet(bright((128, 32), height=160, width=256))
    np.testing.assert_allclose(wide.box, (128, 32, 32, 32), atol=0.01)
    (large,) = yunet(bright((640, 128), height=640, width=1920, size=64))
    np.testing.assert_allclose(large.box, (640, 128, 64, 64), atol=0.01)


def test_auto_says_which_detector_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert build_detector("auto").name == "haar"
    pooled_brightness(tmp_path / "model.onnx")
    assert build_detector("auto", tmp_path / "model.onnx").name == "yunet"
    (tmp_path / ".cache/avce_pl").mkdir(parents=True)
    (tmp_path / "model.onnx").rename(tmp_path / ".cache/avce_pl/face_detection_yunet_2023mar.onnx")
    assert build_detector("auto").name == "yunet"


def test_a_detector_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    def everywhere(image: NDArray[np.uint8]) -> list[Detection]:
        return [Detection(Box(0, 0, 5, 5), 1.0, "mine")]

    entry = Entry(lambda model: everywhere, "finds faces everywhere", lambda model: True, adds_margin=False)  # type: ignore[arg-type,return-value]
    monkeypatch.setattr("avce_pl.face.detectors.DETECTORS", {"mine": entry, **DETECTORS})
    assert build_detector("mine") is build_detector("auto") is everywhere
    assert "mine: finds faces everywhere" in describe_detectors()
    assert "auto: the first of mine, yunet, haar that works here" in describe_detectors()
    assert (margin_for("mine", 0.3), margin_for("haar", 0.3), margin_for("centre", 0.3)) == (0, 0.3, 0)
    with pytest.raises(AvceError, match=r"Choose auto, mine, yunet, haar, mtcnn or centre"):
        build_detector("provided")
    with pytest.raises(AvceError, match=r"there are auto, provided, mine, yunet"):
        build_detector("harr")


def test_the_registry_is_true(tmp_path: Path) -> None:
    for name in ("haar", "centre"):
        assert build_detector(name).name == name
    code = "import sys; import avce_pl.face.detectors; print({'cv2', 'numpy', 'torch'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "set()", "the command line imports the registry for its help"


def test_what_is_missing_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AvceError, match=r"no detector 'harr'; there are auto, provided, yunet, haar, mtcnn, centre"):
        build_detector("harr")
    with pytest.raises(AvceError, match="come with a data set"):
        build_detector("provided")
    with pytest.raises(AvceError, match=r"nowhere.onnx.*--yunet-model FILE"):
        build_detector("yunet", tmp_path / "nowhere.onnx")
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(AvceError, match=r"text.onnx is not a YuNet model"):
        build_detector("yunet", tmp_path / "text.onnx")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(AvceError, match="pip install --no-deps facenet-pytorch"):
        build_detector("mtcnn")


@pytest.mark.skipif(importlib.util.find_spec("facenet_pytorch") is None, reason="facenet-pytorch is not installed")
def test_mtcnn_finds_the_face_in_a_photograph() -> None:
    (face,) = build_detector("mtcnn")(data.astronaut())
    assert overlap(face.box, ASTRONAUT) > 0.7
    assert build_detector("mtcnn")(np.zeros((300, 300, 3), np.uint8)) == []


def test_choose_prefers_large_and_sure_faces_and_stays_with_a_person() -> None:
    left, right = Detection(Box(0, 0, 40, 40), 0.8, "haar"), Detection(Box(100, 0, 42, 42), 0.8, "haar")
    small = Detection(Box(200, 0, 20, 20), 0.9, "haar")
    assert choose([]) is None
    assert choose([small, left, right]) is right
    assert choose([small, left, right], previous=Box(2, 1, 40, 40)) is left
    assert choose([small, left], previous=small.box) is left  # a false hit does not stick
    assert choose([left, right._replace(confidence=0.4)]) is left


def test_overlap() -> None:
    assert overlap(Box(0, 0, 10, 10), Box(0, 0, 10, 10)) == 1
    assert overlap(Box(0, 0, 10, 10), Box(5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert overlap(Box(0, 0, 10, 10), Box(10, 0, 10, 10)) == 0
