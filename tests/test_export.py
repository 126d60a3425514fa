import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import yaml

from avce_pl import load
from avce_pl.config.settings import read_settings
from avce_pl.errors import AvceError
from avce_pl.inference.export import export_onnx, quantize_int8
from avce_pl.inference.network import load_network
from avce_pl.runs.folder import open_run
from avce_pl.training.build import build_datamodule


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "model.onnx"
    assert export_onnx(trained, out) < 1e-5
    return out


def test_the_file_predicts_what_pytorch_predicts(exported: Path, trained: Path) -> None:
    run = open_run(trained)
    side = run.specification.resize_size
    faces = np.random.default_rng(1).integers(0, 256, (64, side, side, 3), np.uint8)
    session = onnxruntime.InferenceSession(str(exported))
    network = load_network(run)
    with torch.no_grad():
        for batch in (1, 7, 32):
            for at in range(0, 64, batch):
                part = faces[at : at + batch]
                wanted = network(torch.from_numpy(part)).numpy()
                # untrained, it predicts beyond 1, where a rounding is larger
                np.testing.assert_allclose(session.run(None, {"faces": part})[0], wanted, atol=1e-5, rtol=1e-5)


def test_one_file_says_what_it_needs(exported: Path, trained: Path) -> None:
    assert [path.name for path in exported.parent.iterdir()] == ["model.onnx"]
    model = onnx.load(exported)
    onnx.checker.check_model(model, full_check=True)
    (faces,), (output,) = model.graph.input, model.graph.output
    assert faces.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [d.dim_param or d.dim_value for d in faces.type.tensor_type.shape.dim] == ["batch", 110, 110, 3]
    assert output.name == "valence_arousal"
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert said["channel_order"] == "RGB"
    assert said["label_order"] == "valence, arousal"
    assert said["image_size"] == "96"
    assert said["resize_size"] == "110"
    assert float(said["margin"]) == load(trained).specification.margin
    assert "licence" in said
    assert said["digest"] == open_run(trained).specification.digest
    assert load(exported).specification == load(trained).specification
    assert str(Path.cwd()).encode() not in exported.read_bytes(), "the exporter writes this machine's paths into nodes"


def test_int8_loses_little(trained: Path, tmp_path: Path, capfd) -> None:
    out = tmp_path / "int8.onnx"
    loss = quantize_int8(trained, out)
    assert capfd.readouterr().out == "", "the quantizer prints for its developers"
    operators = {node.op_type for node in onnx.load(out).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= operators
    assert out.stat().st_size < 5e6
    datamodule = build_datamodule(read_settings(open_run(trained).config))
    rows = datamodule.faces.rows("test")
    assert (loss.split, loss.faces) == ("test", len(rows))
    faces = [datamodule.images[row] for row in rows.tolist()]
    label = datamodule.faces.labels[rows].astype(float)
    exact, small = (load(path).predict_crops(faces).astype(float) for path in (trained, out))
    assert 1e-5 < np.abs(exact - small).max() < 0.1
    for found, prediction in ((loss.float32, exact), (loss.int8, small)):
        for axis in (0, 1):
            y, p = label[:, axis], prediction[:, axis]
            ccc = 2 * np.mean((y - y.mean()) * (p - p.mean())) / (y.var() + p.var() + (y.mean() - p.mean()) ** 2)
            assert found[axis] == pytest.approx(ccc, abs=1e-4)


def test_an_onnx_file_predicts_without_torch(exported: Path, trained: Path, tmp_path: Path) -> None:
    from skimage import data, io

    io.imsave(tmp_path / "photo.png", data.astronaut())
    code = f"""
import sys
from avce_pl.cli.main import app
app(["predict", {str(tmp_path / "photo.png")!r}, "--model", {str(exported)!r}], standalone_mode=False)
heavy = {{"torch", "torchvision", "pytorch_lightning", "hydra", "pandas"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    header, row = (line.split(",") for line in done.stdout.splitlines())
    found = dict(zip(header, row, strict=True))
    wanted = load(trained).predict(tmp_path / "photo.png")[0]
    assert float(found["valence"]) == pytest.approx(wanted.valence, abs=2e-3)  # torch and Pillow resize to one level
    assert float(found["arousal"]) == pytest.approx(wanted.arousal, abs=2e-3)
    assert float(found["box_x"]) == wanted.box.x


def test_what_cannot_be_exported_or_loaded_is_a_sentence(trained: Path, exported: Path, tmp_path: Path) -> None:
    with pytest.raises(AvceError, match="holds no trained run"):
        export_onnx(tmp_path, tmp_path / "x.onnx")
    (tmp_path / "file").write_text("")
    with pytest.raises(AvceError, match=r"cannot be written"):
        export_onnx(trained, tmp_path / "file" / "x.onnx")
    (tmp_path / "cut.onnx").write_bytes(exported.read_bytes()[:1000])
    with pytest.raises(AvceError, match="damaged or not an ONNX file"):
        load(tmp_path / "cut.onnx")
    with pytest.raises(AvceError, match=r"There is no file .*nowhere.onnx"):
        load(tmp_path / "nowhere.onnx")
    stranger = onnx.load(exported)
    del stranger.metadata_props[:]
    onnx.save(stranger, tmp_path / "stranger.onnx")
    with pytest.raises(AvceError, match="does not say how faces have to be cropped"):
        load(tmp_path / "stranger.onnx")


def test_int8_without_the_training_data_is_a_sentence(trained: Path, tmp_path: Path) -> None:
    for name in ("config.yaml", "identity.json", "checkpoints/best.ckpt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    del config["dataset"]["_target_"]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(AvceError, match="imported without its training data"):
        quantize_int8(tmp_path, tmp_path / "x.onnx")
