import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from avce_pl import load
from avce_pl.config.settings import read_settings
from avce_pl.errors import AvceError
from avce_pl.face.detection import Detection
from avce_pl.image.crop import Box
from avce_pl.inference.model import Prediction
from avce_pl.runs.folder import open_run
from avce_pl.synthesis.writers import write_csv
from avce_pl.training.build import build_datamodule


@pytest.fixture(scope="module")
def model(trained: Path):
    return load(trained)


@pytest.fixture(scope="module")
def images(trained: Path) -> list[np.ndarray]:
    """The run's own test images, as they are before the centre crop."""
    datamodule = build_datamodule(read_settings(open_run(trained).config))
    return [datamodule.images[row] for row in datamodule.faces.rows("test").tolist()]


def values(predictions: list[list[Prediction]]) -> np.ndarray:
    return np.array([[p.valence, p.arousal] for (p,) in predictions])


class Found:
    """A detector that always finds the same boxes."""

    name = "mine"
    version = ""

    def __init__(self, *boxes: Box) -> None:
        self.boxes = boxes

    def __call__(self, image: np.ndarray) -> list[Detection]:
        return [Detection(box, 0.9, self.name) for box in self.boxes]


def test_predictions_on_the_runs_own_test_images_are_those_on_record(model, images, trained: Path) -> None:
    table = pd.read_parquet(trained / "predictions.parquet")
    recorded = table[["predicted_valence", "predicted_arousal"]].to_numpy()
    assert recorded.std() > 1e-3
    np.testing.assert_allclose(values(model.predict(images, detect=None)), recorded, atol=1e-5)
    np.testing.assert_allclose(values(model.predict(images, detect="centre")), recorded, atol=1e-5)


def test_predictions_on_files_are_those_on_record(run, tmp_path: Path) -> None:
    root = tmp_path / "faces"
    write_csv(root, train=12, val=6, size=90)
    (root / "prepared.json").write_text('{"margin": 0.17}')  # as `avce data prepare csv` leaves it beside its lists
    folder = run("dataset=csv", f"root={root}", "dataset.num_workers=0", "method=baseline")
    table = pd.read_parquet(folder / "predictions.parquet")
    predictions = load(folder).predict([root / path for path in table["path"]], detect=None)
    recorded = table[["predicted_valence", "predicted_arousal"]].to_numpy()
    np.testing.assert_allclose(values(predictions), recorded, rtol=1e-5, atol=1e-5)  # of a single face and of a batch
    assert load(folder).specification.margin == 0.17


def test_paths_arrays_and_pillow_images_are_the_same(model, images, tmp_path: Path) -> None:
    path = tmp_path / "face.png"
    Image.fromarray(images[0]).save(path)
    as_path, as_text, as_array, as_pillow = model.predict([path, str(path), images[0], Image.open(path)], detect=None)
    assert as_path == as_text == as_array == as_pillow
    (single,) = model.predict(path, detect=None)
    assert single.valence == pytest.approx(as_path[0].valence, abs=1e-5)
    assert (single.box, single.confidence, single.detector) == (None, None, "none")
    swapped = np.ascontiguousarray(images[0][:, :, ::-1])
    assert abs(model.predict(swapped, detect=None)[0].valence - single.valence) > 1e-4, "the order of channels matters"


def test_every_detected_face_is_cropped_and_predicted(model, images) -> None:
    picture = np.full((200, 450, 3), 127, np.uint8)
    side = images[0].shape[0]
    picture[20 : 20 + side, 10 : 10 + side] = images[0]
    picture[90 : 90 + side, 300 : 300 + side] = images[1]
    edge = side / (1 + model.specification.margin)
    inset = (side - edge) / 2
    boxes = [Box(10 + inset, 20 + inset, edge, edge), Box(300 + inset, 90 + inset, edge, edge)]
    found = model.predict(picture, detect=Found(*boxes))
    assert [(p.box, p.confidence, p.detector) for p in found] == [(box, 0.9, "mine") for box in boxes]
    wanted = values(model.predict(images[:2], detect=None))
    assert np.abs(wanted[0] - wanted[1]).max() > 1e-4
    np.testing.assert_allclose([[p.valence, p.arousal] for p in found], wanted, atol=1e-5)
    assert model.predict(picture, detect=Found()) == []


def test_more_faces_than_a_batch_keep_their_order(model, images) -> None:
    many = [images[i % 7] for i in range(75)]
    found = values(model.predict(many, detect=None))
    np.testing.assert_allclose(found, np.resize(found[:7], found.shape), atol=1e-5)


def test_exif_and_grey_and_alpha(model, images, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    Image.fromarray(np.rot90(images[0])).save(tmp_path / "turned.png", exif=exif)
    upright = model.predict(images[0], detect=None)
    for source in (tmp_path / "turned.png", Image.open(tmp_path / "turned.png")):
        assert model.predict(source, detect=None)[0].valence == pytest.approx(upright[0].valence, abs=1e-5)
    for mode in ("L", "RGBA", "P"):
        Image.fromarray(images[0]).convert(mode).save(tmp_path / f"{mode}.png")
        assert len(model.predict(tmp_path / f"{mode}.png", detect=None)) == 1


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (np.zeros((4, 4, 5), np.uint8), r"\(height, width\) or \(height, width, channels\), not \(4, 4, 5\)"),
        (np.full((4, 4, 3), 200.0), "must lie within 0 and 1"),
        (np.zeros((4, 4, 3), np.int64), "uint8, uint16, bool or float, not int64"),
        (b"no image", "The image is damaged or not an image"),
        (np.zeros((2, 4, 4, 3), np.uint8), "Give several images as a list"),
        ("nowhere.jpg", "nowhere.jpg cannot be opened: No such file"),
        ([7], "int is not an image"),
        (None, "NoneType is not an image"),
    ],
)
def test_what_is_no_image_is_a_sentence(model, image, sentence: str) -> None:
    with pytest.raises(AvceError, match=sentence):
        model.predict(image)


def test_a_damaged_file_an_unknown_detector_and_a_box_outside_are_sentences(model, images, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no image")
    with pytest.raises(AvceError, match=r"broken.jpg is damaged or not an image"):
        model.predict(tmp_path / "broken.jpg")
    with pytest.raises(AvceError, match="no detector 'harr'"):
        model.predict(images[0], detect="harr")
    with pytest.raises(AvceError, match="box outside the image"):
        model.predict(images[0], detect=Found(Box(500, 500, 10, 10)))


def test_what_is_no_run_is_a_sentence(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(AvceError, match="holds no trained run"):
        load(tmp_path)
    with pytest.raises(AvceError, match=r"config.yaml is not a model: give a run folder, or an .onnx file"):
        load(trained / "config.yaml")
    for name in ("config.yaml", "identity.json", "checkpoints/best.ckpt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    config["backbone"]["latent_dim"] = 16
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(AvceError, match=r"best.ckpt does not hold the networks that .*config.yaml describes"):
        load(tmp_path)
    config["backbone"]["_target_"] = "os.system"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(AvceError, match="may only name classes of avce_pl"):
        load(tmp_path)
    (tmp_path / "config.yaml").write_text("!!python/object/apply:os.system ['touch executed']")
    with pytest.raises(AvceError, match="is not the configuration of a run"):
        load(tmp_path)


HEAVY = ("hydra", "omegaconf", "pytorch_lightning", "lightning_fabric", "torchmetrics", "wandb", "cvxpy", "pandas")

ROOT = Path(__file__).parents[2]


def test_the_examples_of_the_documentation_run_and_import_neither_hydra_nor_lightning(
    trained: Path, tmp_path: Path
) -> None:
    from skimage import data  # a real photograph

    blocks = [
        block
        for file in ("README.md", "docs/predict.md")
        for block in re.findall(r"```python\n(.*?)```", (ROOT / file).read_text(), re.DOTALL)
        if "model.predict(" in block
    ]
    assert len(blocks) >= 2
    demo = tmp_path / "outputs/demo/synthetic/avce/al/avce/none/seed_0"
    demo.parent.mkdir(parents=True)
    demo.symlink_to(trained)
    cv2.imwrite(str(tmp_path / "photo.jpg"), cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR))
    check = f"\nimport sys\nassert not set(sys.modules) & set({HEAVY}), set(sys.modules) & set({HEAVY})"
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks) + check], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert re.match(r"valence [+-]\d\.\d\d, arousal [+-]\d\.\d\d at Box\(x=17\d", done.stdout), done.stdout
