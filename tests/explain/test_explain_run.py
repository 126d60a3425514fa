import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from avce_pl.errors import AvceError
from avce_pl.explain.regions import REGIONS
from avce_pl.explain.run import explain_run
from avce_pl.runs.predictions import Run, open_runs


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Run:
    """The trained run under another path, whose files may be replaced."""
    folder = tmp_path / "run"
    shutil.copytree(trained, folder, copy_function=os.link)
    (opened,) = open_runs([folder])
    return opened


def test_outputs_are_the_predictions_and_maps_have_shares(run: Run) -> None:
    rows = run.table["row"].to_numpy()[[5, 2, 11]]
    found = explain_run(run, rows, "some.npz", images=True)
    assert found.outputs.tolist() == ["R valence", "R arousal", "H valence", "H arousal"]
    expected = run.table.loc[[5, 2, 11], ["predicted_valence", "predicted_arousal"]].to_numpy()
    np.testing.assert_allclose(found.values[:, :2], expected, atol=1e-5)
    assert found.maps.shape == (3, 4, 5, 5)
    assert found.maps.min() >= 0
    assert found.maps[:, :2].max() > 0
    assert found.latent.shape == (3, 32)
    sparse = [z - max((np.sort(z)[-k:].sum() - 1) / k for k in range(1, 33)) for z in found.latent.astype(float)]
    assert found.support.tolist() == [(point > 1e-6).sum() for point in sparse]  # SparseMax
    assert found.images.shape == (3, 96, 96, 3)
    assert found.regions.tolist() == list(REGIONS)
    known = found.shares[~np.isnan(found.shares).any(axis=2)]
    np.testing.assert_allclose(known.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(found.areas.sum(axis=1), 1)


def test_what_was_computed_is_kept_until_something_else_is_asked_for(run: Run) -> None:
    rows = run.table["row"].to_numpy()[:2]
    file = run.folder / "explain" / "some.npz"
    first = explain_run(run, rows, file.name)
    checkpoint = run.folder / "checkpoints" / "best.ckpt"
    weights = checkpoint.rename(checkpoint.with_suffix(".away"))
    np.testing.assert_array_equal(explain_run(run, rows, file.name).maps, first.maps)
    with pytest.raises(AvceError, match="holds no trained run"):
        explain_run(run, rows + 1, file.name)
    weights.rename(checkpoint)
    file.write_bytes(file.read_bytes()[:500])  # as a full disk leaves it
    np.testing.assert_array_equal(explain_run(run, rows, file.name).maps, first.maps)
    assert file.stat().st_size > 500


def test_a_folder_that_cannot_be_written_costs_only_time(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    (run.folder / "explain").touch()
    assert len(explain_run(run, run.table["row"].to_numpy()[:1], "some.npz").rows) == 1
    assert "cannot be written" in caplog.text


def test_other_data_are_refused(run: Run) -> None:
    other = Run(run.folder, run.record | {"data": run.record["data"] | {"fingerprint": "x"}}, run.table, run.label)
    with pytest.raises(AvceError, match="have changed since it was trained"):
        explain_run(other, run.table["row"].to_numpy()[:1], "some.npz")
