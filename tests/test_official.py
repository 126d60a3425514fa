import pickle
from pathlib import Path

import pytest
import torch

from avce_pl import load
from avce_pl.errors import AvceError
from avce_pl.inference.import_released import import_official
from avce_pl.report.model_card import write_model_card
from avce_pl.runs.folder import open_run
from avce_pl.training.fine_tuning import source_digest
from tests.support.reference_official import forward, linear, released, save


@pytest.mark.parametrize(("backbone", "legacy"), [("al", True), ("al", False), ("r18", True)])
def test_predictions_are_those_of_the_released_forward_pass(backbone: str, legacy: bool, tmp_path: Path) -> None:
    encoder, regressor = released(backbone)
    made = import_official(*save(tmp_path, encoder, regressor, legacy), backbone, tmp_path / "run")
    faces = torch.randint(0, 256, (2, 256, 256, 3), dtype=torch.uint8)
    image = faces.permute(0, 3, 1, 2)[:, :, 16:240, 16:240].float() / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        wanted = forward(backbone, encoder, regressor, (image - mean[:, None, None]) / std[:, None, None])
    assert wanted.std() > 1e-3
    actual = torch.from_numpy(load(made.folder).predict_crops(list(faces.numpy())))
    torch.testing.assert_close(actual, wanted, atol=1e-5, rtol=1e-5)
    extras = [f"FC_layer.t7: {name}" for name in ("lin2.weight", "lin2.bias", "pw_conv.weight", "pw_conv.bias")]
    assert made.unused == (extras if backbone == "al" else [])
    assert source_digest(made.folder) == open_run(made.folder).specification.digest
    assert "labels by 0.8" in write_model_card(made.folder).read_text()


def test_wrong_files_are_refused_with_a_sentence(tmp_path: Path) -> None:
    encoder, regressor = save(tmp_path, *released("al"))
    with pytest.raises(
        AvceError, match=r"lacks 10 of the 10 tensors .* features.0.weight; it holds .* Give the encoder"
    ):
        import_official(regressor, encoder, "al", tmp_path / "swapped")
    with pytest.raises(AvceError, match=r"Encoder.t7 lacks .* of the released r18"):
        import_official(encoder, regressor, "r18", tmp_path / "other")
    _, state = released("al")
    linear(state, "va_regressor", 256, 7)
    torch.save(state, tmp_path / "classes.t7")
    with pytest.raises(AvceError, match=r"va_regressor.weight has shape \(7, 256\), the released al has \(2, 256\)"):
        import_official(encoder, tmp_path / "classes.t7", "al", tmp_path / "classes")
    (tmp_path / "short.t7").write_bytes(encoder.read_bytes()[:5000])
    with pytest.raises(AvceError, match=r"short.t7 cannot be read as plain tensors"):
        import_official(tmp_path / "short.t7", regressor, "al", tmp_path / "short")
    with pytest.raises(AvceError, match="does not exist"):
        import_official(tmp_path / "nowhere.t7", regressor, "al", tmp_path / "nowhere")
    import_official(encoder, regressor, "al", tmp_path / "run")
    with pytest.raises(AvceError, match=r"out cannot be written: "):
        import_official(encoder, regressor, "al", encoder / "out")
    with pytest.raises(AvceError, match="is there already"):
        import_official(encoder, regressor, "al", tmp_path / "run")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["Encoder.t7", "FC_layer.t7", "classes.t7", "run", "short.t7"]


class Malicious:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("written", ["torch", "legacy", "pickle"])
def test_nothing_in_a_file_is_executed(written: str, tmp_path: Path) -> None:
    encoder, regressor = save(tmp_path, *released("al"))
    mark, bad = tmp_path / "executed", tmp_path / "bad.t7"
    content = {"features.0.weight": Malicious(mark)}
    if written == "pickle":
        bad.write_bytes(pickle.dumps(content))
        pickle.loads(bad.read_bytes())
    else:
        torch.save(content, bad, _use_new_zipfile_serialization=written == "torch")
        torch.load(bad, weights_only=False)
    assert mark.exists(), "the file is harmless, so the test proves nothing"
    mark.unlink()
    with pytest.raises(AvceError, match="It was not executed"):
        import_official(bad, regressor, "al", tmp_path / "run")
    with pytest.raises(AvceError, match="It was not executed"):
        import_official(encoder, bad, "al", tmp_path / "run")
    made = import_official(encoder, regressor, "al", tmp_path / "run")
    (made.folder / "checkpoints" / "best.ckpt").write_bytes(bad.read_bytes())
    with pytest.raises(AvceError, match="It was not executed"):
        load(made.folder)
    assert not mark.exists()
