"""The pictures, from runs and maps that are made up: what is drawn is what is given, and the same every time."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from avce_pl.errors import AvceError
from avce_pl.report.figures.analysis import draw_analysis
from avce_pl.report.figures.curves import draw_curves
from avce_pl.report.figures.latent import draw_latent, neighbours, quadrants
from avce_pl.report.figures.maps import draw_heads, draw_methods
from avce_pl.report.figures.parts import source, write_figure
from avce_pl.report.statistics import gini, intervals, mean_difference
from avce_pl.runs.explanation import Explanation
from avce_pl.runs.predictions import Run

REGIONS = ("outside", "rest of the face", "nose", "mouth", "eyes", "brows")
FACES = 48


def made_up(label: str, noise: float, dataset: str = "synthetic_video") -> Run:
    rng = np.random.default_rng(0)
    video = np.repeat(np.arange(6), 8)
    table = pd.DataFrame(
        {"row": np.arange(100, 100 + FACES), "video": video.astype(str), "frame": np.arange(FACES) % 8}
    )
    table["subject"] = ""
    table[["valence", "arousal"]] = rng.uniform(-1, 1, (FACES, 2))
    error = noise * np.random.default_rng(1).normal(size=(FACES, 2))
    table[["predicted_valence", "predicted_arousal"]] = 0.7 * table[["valence", "arousal"]].to_numpy() + error
    keys = dict.fromkeys(("digest", "method", "backbone", "crl_formula", "mining"), "x")
    data = {"test_split": "test", "fingerprint": "f"}
    record = keys | {"seed": 0, "dataset": dataset, "data": data, "run": {"commit": "abc"}}
    return Run(Path("runs") / label, record, table, label)


def explained(run: Run, positions: Sequence[int], heads: Sequence[str] = ("R", "H"), seed: int = 0) -> Explanation:
    """Maps of H are those of R to the fourth: sparser."""
    rng = np.random.default_rng(seed)
    rows = run.table["row"].to_numpy()[list(positions)]
    maps = rng.uniform(0.2, 1, (len(rows), 2, 4, 4))
    maps = np.concatenate([maps, maps**4], axis=1)[:, : 2 * len(heads)]
    return Explanation(
        digest="x",
        rows=rows,
        outputs=np.array([f"{head} {axis}" for head in heads for axis in ("valence", "arousal")]),
        values=np.zeros((len(rows), 2 * len(heads)), np.float32),
        maps=maps.astype(np.float32),
        latent=rng.normal(size=(len(rows), 5)).astype(np.float32),
        support=np.arange(len(rows)) % 2 + 1,
        regions=np.array(REGIONS),
        shares=rng.dirichlet(np.ones(6), (len(rows), 2 * len(heads))),
        areas=np.full((len(rows), 6), 1 / 6),
        images=rng.integers(0, 255, (len(rows), 24, 24, 3), dtype=np.uint8),
    )


def test_figure2_draws_the_curves_of_one_video() -> None:
    runs = [made_up("Baseline", 0.3), made_up("AVCE", 0.1)]
    frames, chosen = np.arange(16, 24), np.array([1, 5])
    figure, values = draw_curves(runs, "2", frames, chosen, [explained(run, frames[chosen]) for run in runs])
    top = figure.subfigs[0].axes[0]
    drawn = {line.get_label(): line.get_ydata() for line in top.get_lines()}
    np.testing.assert_array_equal(drawn["label"], runs[0].table["valence"][16:24])
    (name,) = [name for name in drawn if name.startswith("AVCE")]
    np.testing.assert_array_equal(drawn[name], runs[1].table["predicted_valence"][16:24])
    expected = intervals(runs[1].table[16:24], None)["ccc_valence"].value
    assert f"{expected:.2f}" in name
    assert values["chosen_frames"].tolist() == [1, 5]
    assert len(figure.subfigs[1].axes) == 2 * (1 + 2 * 2)  # a face, and two maps of each run


def test_figure3_says_how_much_of_the_maps_lies_where() -> None:
    runs = [made_up("Baseline", 0.3), made_up("AVCE", 0.1)]
    shown = [explained(run, [0, 9]) for run in runs]
    many = [explained(run, range(FACES), seed=seed) for seed, run in enumerate(runs)]
    many[1].shares[3, 0] = np.nan  # a map of zeros
    _, values = draw_methods(runs, shown, many)
    found = values["shares"]["valence"]["AVCE"]
    known = np.delete(many[1].shares[:, 0], 3, axis=0)
    assert found["maps_of_zeros"] == 1
    assert found["mean"]["mouth"] == pytest.approx(known[:, REGIONS.index("mouth")].mean())
    assert found["sd"]["outside"] == pytest.approx(known[:, 0].std())
    four = known[:, 2:].sum(axis=1)
    assert (found["mean"]["all four"], found["sd"]["all four"]) == pytest.approx((four.mean(), four.std()))
    assert values["shares"]["uniform"]["mean"]["all four"] == pytest.approx(4 / 6)


def test_figure4_tests_whether_h_is_sparser_video_by_video() -> None:
    run = made_up("AVCE", 0.1)
    many = explained(run, range(FACES))
    many.maps[:5, 3] = 0
    _, values = draw_heads(run, explained(run, [0, 9]), many)
    found = values["sparseness"]
    assert found["unit"] == "video"
    cells = many.maps.reshape(FACES, 4, 16).astype(float)
    difference = gini(cells[:, 2]) - gini(cells[:, 0])
    expected = mean_difference(difference, np.repeat(np.arange(6), 8))
    assert found["valence"]["H_minus_R"] == pytest.approx(expected)
    assert expected.low > 0
    assert found["arousal"]["faces"] == FACES - 5
    assert found["arousal"]["maps_of_zeros"] == {"R": 0, "H": 5}


def test_figure4_of_a_head_without_a_gradient_says_so() -> None:
    run = made_up("AVCE", 0.1)
    shown, many = explained(run, [0]), explained(run, range(FACES))
    many.maps[:, 2:] = 0
    many.shares[:, 2:] = np.nan
    figure, values = draw_heads(run, shown, many)
    assert values["sparseness"]["one_hot"] == 0.5
    assert "H_minus_R" not in values["sparseness"]["valence"]
    assert "not comparable, no map in 0 (R) and 48 (H) of 48 faces" in figure._suptitle.get_text()


def test_figure5_is_the_same_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    run = made_up("AVCE", 0.1)
    one = explained(run, range(FACES))
    places = [draw_latent([run], [one])[1]["AVCE"]["places"] for _ in range(2)]
    np.testing.assert_array_equal(*places)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "sklearn.manifold", None)
        with pytest.raises(AvceError, match="needs scikit-learn"):
            draw_latent([run], [one])
    few = explained(run, range(5))
    with pytest.raises(AvceError, match="has 5 test faces; t-SNE needs at least 20"):
        draw_latent([run], [few])


def test_neighbours_are_counted_in_the_latent() -> None:
    rng = np.random.default_rng(0)
    latent, code = rng.normal(size=(40, 3)), rng.integers(0, 4, 40)
    same = []
    for face, point in enumerate(latent):
        others = sorted((np.linalg.norm(point - other), k) for k, other in enumerate(latent) if k != face)
        same += [code[k] == code[face] for _, k in others[:10]]
    found, chance = neighbours(latent, code)
    assert found == pytest.approx(np.mean(same))
    pairs = [code[i] == code[j] for i in range(40) for j in range(40) if i != j]
    assert chance == pytest.approx(np.mean(pairs))


def test_quadrants_go_round_the_plane() -> None:
    labels = pd.DataFrame({"valence": [0.5, -0.5, -0.5, 0.5, 0], "arousal": [0.5, 0.5, -0.5, -0.5, 0]})
    assert quadrants(labels).tolist() == [0, 1, 2, 3, 0]


def test_the_analysis_compares_with_the_first_run() -> None:
    runs = [made_up("Baseline", 0.6), made_up("AVCE", 0.1)]
    _, values = draw_analysis(runs)
    difference = values["ccc_minus_first"]["runs"]["AVCE"]["valence"]
    ccc = [values["intervals"][run.label]["ccc_valence"].value for run in runs]
    assert difference.value == pytest.approx(ccc[1] - ccc[0])
    assert difference.low > 0
    assert values["unit"] == "video"
    assert values["units"] == 6
    assert values["count"].sum() == FACES


def test_files_are_whole_plain_and_the_same_every_time(tmp_path: Path) -> None:
    runs = [made_up("AVCE", 0.1)]
    contents = []
    for name in ("one", "two"):
        figure, values = draw_analysis(runs)
        (tmp_path / name).mkdir()
        files = write_figure(tmp_path / name, "analysis", figure, runs, "A caption.", ["A note."], values)
        contents.append([file.read_bytes() for file in files])
    assert contents[0] == contents[1]
    assert [file.name for file in files] == ["analysis.png", "analysis.svg", "analysis.json"]
    assert len(list((tmp_path / "one").iterdir())) == 3
    with Image.open(files[0]) as picture:
        assert picture.size[0] > 1500

    def refuse(constant: str) -> Any:
        raise AssertionError(f"{constant} is not JSON")

    content = json.loads(files[2].read_text(), parse_constant=refuse)
    assert content["synthetic"]
    assert "not comparable" in content["source"]
    assert "not comparable" not in source([made_up("AVCE", 0.1, "aff_wild")])
    assert (content["caption"], content["notes"]) == ("A caption.", ["A note."])
    assert content["runs"][0]["folder"] == "runs/AVCE"
    assert None in content["values"]["runs"]["AVCE"]["mean_absolute_error"]["valence"][0]
