"""What tables say about contrast, comparisons and settings, on run folders that this file writes."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from avce_pl.cli.main import app
from avce_pl.config.settings import read_settings
from avce_pl.dataset.csv import CsvDataModule
from avce_pl.dataset.files.datamodule import PROCEDURAL
from avce_pl.errors import AvceError
from avce_pl.report.figures.run import caption
from avce_pl.report.pages.report import report_page
from avce_pl.report.tables.contrast import contrast_state, describe_contrast
from avce_pl.report.tables.layout import options, read_layout
from avce_pl.report.tables.picture import draw_table
from avce_pl.report.tables.settings import read_paper_settings
from avce_pl.report.tables.table import ResultTable, make_table
from avce_pl.runs.identity import settings_identity
from avce_pl.runs.records import is_procedural, read_metrics
from avce_pl.synthesis.writers import write_csv
from avce_pl.utils.resources import ROOT

ALIVE = {"views": 0.43, "scores": 0.21, "dead_latents": 0.0, "gradient_share": 0.02, "alive": True}
DEAD = {"views": 0.001, "scores": 0.0, "dead_latents": 24.0, "gradient_share": 0.0, "alive": False}
SHUFFLED = "avce_shuffled"


def write(
    outputs: Path,
    formula: str = "avce",
    seed: int = 0,
    *,
    values: tuple[float, float] = (0.5, 0.4),
    name: str = "table2",
    dataset: str = "synthetic_video",
    method: str = "avce",
    backbone: str = "al",
    mining: str = "none",
    settings: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
    **record: Any,
) -> Path:
    """A finished run as the suite leaves it."""
    folder = outputs / name / dataset / method / backbone / formula / mining / f"seed_{seed}"
    folder.mkdir(parents=True)
    choices = {"method": method, "backbone": backbone, "crl_formula": formula, "mining": mining, "dataset": dataset}
    identity = {f"{group}.name": option for group, option in choices.items()} | {"seed": seed}
    (folder / "identity.json").write_text(json.dumps(identity | (settings or {})))
    v, a = values
    test = {}
    for metric in ("ccc", "pcc", "rmse"):
        test |= {f"test/{metric}_valence": v, f"test/{metric}_arousal": a}
    about = {"protocol": "p", "fingerprint": "f00", "test_split": "test"} | (data or {})
    content = {**choices, "seed": seed, "test": test, "data": about, "parameters": {}, "run": {"commit": "abc"}}
    (folder / "metrics.json").write_text(json.dumps(content | record))
    return folder


def line(table: ResultTable, row: tuple[str, ...], metric: str = "test/ccc_valence") -> pd.Series:
    chosen = (table.lines[list(table.layout.rows)] == list(row)).all(axis=1) & (table.lines["metric"] == metric)
    return table.lines[chosen].iloc[0]


def note(table: ResultTable, start: str) -> str:
    return next((text for text in table.notes if text.startswith(start)), "")


def formats(table: ResultTable, folder: Path) -> dict[str, str]:
    """The text of every format, that of the picture too."""
    texts = {path.suffix: path.read_text(encoding="utf-8") for path in table.write(folder, "t")}
    return texts | {"png": drawn(table)}


def drawn(table: ResultTable) -> str:
    """All text of the picture."""
    figure = draw_table(table)
    figure.draw_without_rendering()
    texts = [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]
    return " ".join(" ".join(texts).split())


@pytest.fixture
def compared(tmp_path: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """Trunk, control and AVCE over six seeds: both axes of every run by formula, (seeds, 2)."""
    rng = np.random.default_rng(3)
    easy = rng.normal(0, 0.05, (6, 1))
    found = {formula: 0.5 + easy + rng.normal(0, 0.005, (6, 2)) for formula in ("none", SHUFFLED, "avce")}
    found["avce"] = found["avce"] + 0.05
    for formula, values in found.items():
        for seed, (v, a) in enumerate(values.tolist()):
            write(tmp_path, formula, seed, values=(v, a), **({} if formula == "none" else {"contrast": ALIVE}))
    return tmp_path, found


def test_a_difference_is_that_of_scipys_paired_t_interval(compared: tuple[Path, dict[str, np.ndarray]]) -> None:
    outputs, values = compared
    table = make_table("table2", outputs, seeds=range(6))
    for formula in (SHUFFLED, "avce"):
        for column, axis in enumerate(("valence", "arousal")):
            expected = scipy.stats.ttest_rel(values[formula][:, column], values["none"][:, column])
            interval = expected.confidence_interval(1 - 0.05 / 4)  # two rows × two metrics
            found = line(table, (formula, "none"), f"test/ccc_{axis}")
            mean = (values[formula] - values["none"])[:, column].mean()
            assert found["reference_difference"] == pytest.approx(mean)
            assert (found["reference_low"], found["reference_high"]) == pytest.approx((interval.low, interval.high))
            assert found["pairs"] == 6
            assert found["excludes_zero"] == (not interval.low <= 0 <= interval.high) == (formula == "avce")
    text = note(table, "vs. reference")
    assert "without L_CRL, paired by seed" in text
    assert "Bonferroni: 4 intervals" in text
    assert "* marks an interval without zero" in text
    assert "is the control" in note(table, "AVCE shuffled (control)")


def test_differences_are_printed_in_every_format(compared: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    outputs, values = compared
    table = make_table("table2", outputs, seeds=range(6))
    mean = (values["avce"] - values["none"])[:, 0].mean()
    texts = formats(table, tmp_path / "out")
    low = line(table, ("avce", "none"))["reference_low"]
    for ending in (".md", ".tex"):
        assert f"{mean:+.3f} [{low:+.3f}, " in texts[ending]
    assert f"{mean:.12f}"[:10] in texts[".csv"]
    assert f"{mean:+.3f} [{low:+.3f}, " in report_page(outputs)
    assert "reference" in texts["png"]
    headers = table.headers
    assert headers[-2:] == ["n", "pairs"]
    printed = dict(zip(table.rows, table.cells, strict=True))
    assert printed[("avce", "none")][-2:] == ["6", "6"]
    assert printed[("none", "none")][-1] == "–"
    assert "reference" in printed[("none", "none")]


def test_pairs_are_seeds_that_both_have(compared: tuple[Path, dict[str, np.ndarray]]) -> None:
    outputs, values = compared
    runs = outputs / "table2/synthetic_video/avce/al"
    (runs / "avce/none/seed_0/metrics.json").unlink()
    (runs / "none/none/seed_5/metrics.json").unlink()
    found = line(make_table("table2", outputs), ("avce", "none"))
    assert found["n"] == 5
    assert found["pairs"] == 4
    assert found["reference_difference"] == pytest.approx((values["avce"] - values["none"])[1:5, 0].mean())


def test_one_pair_has_no_interval_and_no_reference_no_difference(tmp_path: Path) -> None:
    write(tmp_path, "avce", 0, values=(0.6, 0.5), contrast=ALIVE)
    table = make_table("table2", tmp_path)
    assert math.isnan(line(table, ("avce", "none"))["reference_difference"])
    assert "No run of the reference (crl_formula=none, mining=none) has finished" in table.markdown()
    write(tmp_path, "none", 0)
    table = make_table("table2", tmp_path)
    found = line(table, ("avce", "none"))
    assert found["reference_difference"] == pytest.approx(0.1)
    assert math.isnan(found["reference_low"])
    assert "One pair has no interval" in note(table, "vs. reference")
    assert "Bonferroni" not in table.markdown()
    assert "[" not in "".join(table.cells[-1])


def bars(figure: Figure) -> list[np.ndarray]:
    """The ends of every error bar that is drawn, in the legend too."""
    segments = [segment for one in figure.findobj(LineCollection) for segment in one.get_segments()]
    return [segment for segment in segments if len(segment) and np.isfinite(segment).all()]


def test_one_run_has_no_error_bar(tmp_path: Path) -> None:
    write(tmp_path, "avce", 0, contrast=ALIVE)
    table = make_table("table2", tmp_path)
    assert "±" not in "".join("".join(cells) for cells in table.cells)
    assert not bars(draw_table(table))
    text = drawn(table)
    assert "one run" in text
    assert "±" not in text
    write(tmp_path, "avce", 1, values=(0.6, 0.6), contrast=ALIVE)
    table = make_table("table2", tmp_path)
    assert "mean ± sd" in drawn(table)
    assert len(bars(draw_table(table))) == 3  # one row, two metrics, one legend
    write(tmp_path, "infonce", 0, contrast=ALIVE)
    assert len(bars(draw_table(make_table("table2", tmp_path)))) == 3


def test_table5_is_made_of_the_runs_of_table2(compared: tuple[Path, dict[str, np.ndarray]]) -> None:
    outputs, values = compared
    write(outputs, "avce", 0, values=(0.9, 0.9), mining="hard", contrast=ALIVE)
    write(outputs, "infonce", 0, values=(0.9, 0.9), contrast=ALIVE)
    table = make_table("table5", outputs)
    assert table.rows == [("avce",), ("none",), (SHUFFLED,)]
    assert line(table, ("avce",))["mean"] == pytest.approx(values["avce"][:, 0].mean())
    assert not note(table, "Left out")
    assert "Table 5" in report_page(outputs)
    # older runs lie in the table's own folder
    old = make_table("table5", write(outputs / "old", "none", 0, name="table5").parents[6])
    assert line(old, ("none",))["n"] == 1


def test_the_contrast_is_a_column_and_dead_rows_are_named(tmp_path: Path) -> None:
    for seed in range(3):
        write(tmp_path, "avce", seed, contrast=ALIVE)
        write(tmp_path, "infonce", seed, contrast=DEAD if seed else ALIVE)
        write(tmp_path, "none", seed)
    write(tmp_path, "barlow_twins", 0)  # of a version that did not record the contrast
    table = make_table("table2", tmp_path)
    column = table.headers.index("contrast: |Sp−Sm|, |y_a−y_n|") - len(table.layout.rows)
    cells = {row: cells[column] for row, cells in zip(table.rows, table.cells, strict=True)}
    assert cells[("avce", "none")] == "0.43, 0.21"
    assert cells[("infonce", "none")] == "0.14, 0.07; dead in 2 of 3 runs"
    assert cells[("none", "none")] == "–"
    assert cells[("barlow_twins", "none")] == "not measured"
    assert note(table, "Dead contrast: infonce/none in 2 of 3 runs")
    assert "barlow_twins/none" in note(table, "Contrast not measured")
    texts = formats(table, tmp_path / "out")
    assert all("dead in 2 of 3 runs" in text for text in texts.values())
    assert all("Dead contrast: infonce/none" in text.replace("\\", "") for text in texts.values())
    page = report_page(tmp_path)
    assert "dead in 2 of 3 runs" in page
    assert "Dead contrast in 2 runs" in page
    assert page.count("dead contrast, trained without it") == 2
    alive = make_table("table2", tmp_path / "alive") if write(tmp_path / "alive", contrast=ALIVE) else None
    assert alive is not None
    assert "ead contrast" not in alive.markdown() + report_page(tmp_path / "alive")


@pytest.mark.parametrize(
    ("method", "formula", "more", "state"),
    [
        ("avce", "avce", {"contrast": ALIVE}, "alive"),
        ("avce", "avce", {"contrast": DEAD}, "dead"),
        ("avce", "avce", {}, "not measured"),
        ("avce", "avce", {"updates": 9}, "not measured"),
        ("avce", "none", {}, "none"),
        ("caf", "avce", {}, "none"),
        ("mine", "avce", {}, "not measured"),
        ("mine", "avce", {"updates": 9}, "none"),
    ],
)
def test_the_state_of_a_contrast(method: str, formula: str, more: dict[str, Any], state: str) -> None:
    choices = {"method": method, "crl_formula": formula}
    assert contrast_state(choices, more) == state
    words = describe_contrast(choices | more)
    assert words.startswith("no contrastive loss" if state == "none" else state)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"contrast": {"views": 1.0}}, "contrast without alive"),
        ({"contrast": None}, "contrast without alive"),
        ({"encoder_map": [0, 1]}, "encoder_map"),
        ({"encoder_map": 6}, "encoder_map"),
        ({"updates": "many"}, "updates"),
    ],
)
def test_what_is_wrong_in_the_record_is_a_sentence(tmp_path: Path, wrong: dict[str, Any], said: str) -> None:
    write(tmp_path, **wrong)
    with pytest.raises(AvceError, match=rf"metrics.json is damaged \({said}.*Delete the run's folder"):
        make_table("table2", tmp_path)


def test_a_folder_that_is_not_a_runs_is_a_sentence(tmp_path: Path) -> None:
    folder = write(tmp_path)
    folder.rename(folder.with_name("seed_0 (copy)"))
    with pytest.raises(AvceError, match=r"seed_0 \(copy\) is not a run's folder: no number follows seed_"):
        make_table("table2", tmp_path)


def test_a_run_without_a_number_is_not_silently_left_out(tmp_path: Path) -> None:
    write(tmp_path, "avce", 0)
    write(tmp_path, "avce", 1, values=(math.nan, 0.4))
    table = make_table("table2", tmp_path)
    assert line(table, ("avce", "none"))["mean"] == 0.5
    assert note(table, "Missing or not a finite number").endswith("not in the mean: CCC V of avce/none/seed 1.")


@pytest.mark.parametrize(
    ("dataset", "data", "procedural"),
    [
        ("synthetic_video", {}, True),
        ("aff_wild", {}, False),
        ("aff_wild", {"procedural": True}, True),
        ("csv", {}, False),
    ],
)
@pytest.mark.parametrize("name", ["table2", "table4"])
def test_no_difference_to_published_numbers_on_procedural_faces(
    tmp_path: Path, dataset: str, data: dict[str, Any], procedural: bool, name: str
) -> None:
    backbone = "r18" if name == "table4" else "al"
    write(tmp_path, values=(0.9, 0.9), name=name, dataset=dataset, backbone=backbone, data=data, updates=10**5)
    table = make_table(name, tmp_path)
    texts = formats(table, tmp_path / "out") | {"html": report_page(tmp_path)}
    published = {"table2": 0.682, "table4": 0.552}[name]
    difference = f"{0.9 - published:+.3f}"
    for ending, text in texts.items():
        assert ("not comparable" in text) == procedural, ending
        if ending not in (".csv", "png"):
            assert (difference in text) != procedural, ending
    numbers = pd.read_csv(tmp_path / "out/t.csv", comment="#").select_dtypes("number")
    assert ("difference" in numbers) != procedural
    assert bool((np.abs(numbers - (0.9 - published)) < 1e-9).any(axis=None)) != procedural
    assert ("published" in re.sub(r"with the published ones|the published numbers", "", texts["png"])) != procedural


def test_procedural_faces_in_the_layout_of_a_real_data_set_are_described_as_such(tmp_path: Path) -> None:
    folder = tmp_path / "faces"
    write_csv(folder, train=2, val=1, size=40)
    (folder / PROCEDURAL).unlink(missing_ok=True)
    options: dict[str, Any] = {"image_size": 32, "cache_dir": str(tmp_path / "cache")}
    described = CsvDataModule(str(folder), **options).describe()
    assert "procedural" not in described
    assert not is_procedural("csv", {"data": described})
    (folder / PROCEDURAL).write_text("Drawn by avce synthesize.")
    described = CsvDataModule(str(folder), **options).describe()
    assert is_procedural("csv", {"data": described})


def test_validation_images_are_named_beside_the_numbers(tmp_path: Path) -> None:
    folder = write(tmp_path, dataset="aff_wild", data={"test_split": "val"})
    write(tmp_path / "test", dataset="aff_wild")
    table = make_table("table2", tmp_path)
    assert "CCC V (validation)" in table.headers
    texts = formats(table, tmp_path / "out") | {"html": report_page(tmp_path)}
    assert all("also chose the best epoch" in text for text in texts.values())
    assert all("CCC V (validation)" in text for ending, text in texts.items() if ending != ".csv")
    assert set(pd.read_csv(tmp_path / "out/t.csv", comment="#")["tested_on"]) == {"validation"}
    assert "<td class=text>validation" in texts["html"]
    assert "also chose the best epoch" in caption(read_metrics(folder), 10)
    clean = make_table("table2", tmp_path / "test")
    assert "alidation" not in clean.markdown() + report_page(tmp_path / "test")


def test_small_maps_are_said(tmp_path: Path) -> None:
    for number, (side, size) in enumerate(((1, 64), (2, 96), (4, 160), (6, 224))):
        write(tmp_path / str(number), encoder_map=[side, side], settings={"dataset.image_size": size})
    texts = [note(make_table("table2", tmp_path / str(number)), "AlexNet's last map") for number in range(4)]
    assert texts[0] == "AlexNet's last map is 1×1 at 64 px (paper: 6×6 at 224 px), copied 36 times."
    assert "2×2 at 96 px" in texts[1]
    assert "copied 9 times" in texts[1]
    assert "4×4 at 160 px (paper: 6×6 at 224 px), stretched to that size" in texts[2]
    assert texts[3] == ""
    write(tmp_path / "r18", backbone="r18", encoder_map=[2, 2], settings={"dataset.image_size": 64})
    assert not note(make_table("table2", tmp_path / "r18"), "AlexNet")


SHORT = {"trainer.max_epochs": 4, "trainer.limit_train_batches": 75}


@pytest.mark.parametrize(
    ("count", "settings", "few"),
    [
        (300, {}, True),
        (None, SHORT, True),  # of a version that did not record updates
        (None, {"trainer.max_epochs": 4, "trainer.limit_train_batches": 1.0}, False),  # not known
        (60_000, {}, False),
        (300, {"backbone.weights": "imagenet"}, False),
        (300, {"init_from": "digest"}, False),
    ],
)
def test_table4_says_where_a_row_is_hardly_trained(
    tmp_path: Path, count: int | None, settings: dict[str, Any], few: bool
) -> None:
    known = {} if count is None else {"updates": count}
    for backbone in ("r18", "r50"):
        write(tmp_path, name="table4", backbone=backbone, settings=settings, **known)
    table = make_table("table4", tmp_path)
    column = table.headers.index("updates") - 1
    printed = "300" if count is None and few else "–" if count is None else f"{count:,}"
    assert table.cells[0][column] == printed + (", too few" if few else "")
    assert table.cells[2][column] == "–"
    texts = formats(table, tmp_path / "out") | {"html": report_page(tmp_path)}
    start = "Too few updates: ResNet18, ResNet50 trained from scratch for 300 updates, fewer than 1,000"
    assert all((start in text) is few for text in texts.values())
    assert "updates" not in make_table("table2", write(tmp_path / "two").parents[6]).headers


def identity(*overrides: str) -> dict[str, Any]:
    """What a run with these options has as its identity, without its data."""
    with initialize_config_dir(str(ROOT / "conf"), version_base=None):
        plain = OmegaConf.to_container(compose("config", overrides=list(overrides)), resolve=True)
    return settings_identity(read_settings(plain).model_dump(mode="json"))  # type: ignore[arg-type]


OURS = {  # settings that the paper does not have or that do not change what is computed -> why
    "callbacks.monitor": "the paper does not say what chose the epoch",
    "callbacks.name": "only a name",
    "crl_formula.eps": "numerical",
    "crl_formula.floor_score": "of a form that the paper does not have",
    "crl_formula.name": "named by the row",
    "crl_formula.negative_weight": "our reading",
    "feature_transform.solver": "of the same problem",
    "feature_transform.tolerance": "of the same problem",
    "method.name": "named by the row or the table",
    "method.shared_learning_rate_scale": "of method.update=shared, which is named",
    "metrics.batch_size": "of metrics=official, which is named",
    "mining.class_prior": "of a form that the paper does not have",
    "mining.concentration": "the paper does not say",
    "mining.name": "named by the row or the table",
    "optimizer.warmup": "of optimizer=cosine, which is named",
    "seed": "",
    "similarity.sign_pairing": "of similarity=official, which is named",
    "similarity.sign_penalty": "of similarity=official, which is named",
    "trainer.deterministic": "does not change what is computed",
    "backbone.name": "named by the row or the table",
    "backbone.depth": "named by the row or the table",
}
ALL = [
    *(
        ["budget=paper", f"preset={p}", f"method={m}"]
        for p in ("paper", "tuned", "official")
        for m in ("baseline", "caf")
    ),
    *(
        ["budget=paper", f"preset={preset}", f"crl_formula={formula}", *more]
        for preset in ("paper", "tuned", "official")
        for formula in ("infonce", "barlow_twins", "avce", "avce_shuffled", "none")
        for more in (["mining=hard", "backbone=r50"], ["mining=debiased", "feature_transform=cvxpylayers"])
    ),
    *([f"optimizer={name}"] for name in ("step_decay", "cosine", "periodic_decay")),
]


def test_every_setting_is_compared_with_the_paper_or_does_not_matter() -> None:
    known, there = read_paper_settings(), set[str]()
    for overrides in ALL:
        there |= identity(*overrides).keys()
    mattering = {key for key in there if not key.startswith("dataset.") and not key.endswith("_target_")}
    assert mattering - known.keys() - OURS.keys() == set(), "say what the paper has in experiments/paper/settings.yaml"
    assert not known.keys() & OURS.keys()
    assert known.keys() - there == {"method.standardise", "freeze", "init_from"}


def departing(tmp_path: Path, formula: str = "avce", method: str = "avce", **settings: Any) -> list[str]:
    found = write(tmp_path, formula, method=method, settings={k.replace("__", "."): v for k, v in settings.items()})
    table = make_table("table2", tmp_path)
    assert found.exists()
    text = note(table, "Departs from the paper in: ").removeprefix("Departs from the paper in: ").removesuffix(".")
    return text.split("; ") if text else []


def test_the_papers_own_recipe_departs_where_we_say_so(tmp_path: Path) -> None:
    found = departing(tmp_path, **identity("budget=paper", "dataset=synthetic_video", "backbone.weights=imagenet"))
    assert [text.split()[0] for text in found] == [
        "backbone.initialisation",
        "backbone.latent_norm",
        "optimizer.head_optimizer",
        "optimizer.head_learning_rate",
        "callbacks.statistics_batches",
    ]


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("optimizer.learning_rate=3e-4", "optimizer.learning_rate 0.0003 (paper: 0.0001)"),
        ("optimizer.betas=[0.9,0.999]", "optimizer.betas [0.9, 0.999] (paper: [0.5, 0.9])"),
        ("trainer.limit_train_batches=1", "trainer.limit_train_batches 1 (paper: 1.0)"),
        ("dataset.batch_size=32", "dataset.batch_size 32 (paper: 256)"),
        ("dataset.image_size=64", "dataset.image_size 64 (paper: 224)"),
        ("crl_formula.alpha=0.4", "crl_formula.alpha 0.4 (paper: 0.5)"),
        ("crl_formula.pairs=shuffled", "crl_formula.pairs shuffled (paper: aligned)"),
        ("method.crl_weight=0.1", "method.crl_weight 0.1 (paper: 0.0256, 0.0001 on the sum over a batch of 256)"),
        ("backbone=mnv2", "backbone.name mnv2 (paper: al)"),
        ("backbone.weights=/home/ada/al.pt", "backbone.weights al.pt (paper: imagenet, most likely)"),
        ("similarity=angle", "similarity.name angle (paper: paper)"),
        ("feature_transform=capped_simplex", "feature_transform.sparse_problem avce_pl.feature_transform.problems:"),
    ],
)
def test_a_setting_that_departs_is_under_the_table(tmp_path: Path, override: str, text: str) -> None:
    base = ["budget=paper", "dataset=synthetic_video"]
    usual = departing(tmp_path / "usual", **identity(*base, "backbone.weights=imagenet"))
    changed = [*base, *([] if "weights" in override else ["backbone.weights=imagenet"]), override]
    found = departing(tmp_path / "changed", **identity(*changed))
    assert [one for one in found if one.startswith(text)], found
    assert not [one for one in usual if one.startswith(text)]


def test_old_run_folders_have_tables_and_cards(tmp_path: Path) -> None:
    old = {"method.standardise": False, "dataset.image_size": 64, "optimizer.head_learning_rate": 0.01}
    for seed in range(2):
        write(tmp_path, "avce", seed, settings=old)
    new = old | {"backbone.latent_norm": "batch"}
    write(tmp_path, "avce", 2, settings=new, contrast=ALIVE, updates=9)
    table = make_table("table2", tmp_path)
    assert line(table, ("avce", "none"))["n"] == 2
    assert "Left out for other settings (backbone.latent_norm=batch): avce/none/seed 2." in table.notes
    assert "standardise" not in table.markdown()
    assert "Contrast not measured" in table.markdown()
    changed = departing(tmp_path / "tuned", method__standardise=True)
    assert changed == ["method.standardise true (paper: false)"]


def test_what_methods_are_tuned_with_is_one_line(tmp_path: Path) -> None:
    rates = {"baseline": 3e-4, "caf": 3e-4, "avce": 5.1e-4}
    for method, rate in rates.items():
        formula = "avce" if method == "avce" else "none"
        settings = {"optimizer.learning_rate": rate, "method.dropout": 0.0, "optimizer.name": "cosine"}
        if method == "caf":
            settings |= {"method.adversarial_weight": 0.1, "optimizer.name": "periodic_decay"}
        write(tmp_path, formula, name="table1", dataset="synthetic", method=method, settings=settings)
    text = note(make_table("table1", tmp_path), "Rows differ in: ")
    assert "optimizer.learning_rate: CAF, Baseline 0.0003, AVCE 0.00051" in text
    assert "optimizer.name: CAF periodic_decay, AVCE, Baseline cosine" in text
    assert "dropout" not in text
    assert "adversarial_weight" not in text


@pytest.mark.parametrize("value", ["0,1,2", "avce,none", "range(16)", "range(3,6)", "range(3, 6)", 7])
def test_options_are_those_that_hydra_sweeps_over(value: str | int) -> None:
    override = OverridesParser.create().parse_override(f"group={value}")
    expected = list(override.sweep_string_iterator()) if override.is_sweep_override() else [str(override.value())]
    assert options(value) == expected


def test_reference_and_control_are_rows_of_the_sweeps() -> None:
    for name, controls in (("table2", 1), ("table3", 0), ("table5", 1)):
        layout = read_layout(name)
        assert layout is not None
        assert sum(layout.is_reference(row) for row in layout.swept) == 1
        assert sum(layout.is_control(row) for row in layout.swept) == controls


def test_the_card_and_the_summary_say_it_too(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = trained / "metrics.json"
    record = file.read_text()
    try:
        changed = json.loads(record)
        changed["contrast"] = DEAD
        changed["data"]["test_split"] = "val"
        file.write_text(json.dumps(changed))
        app(["card", str(trained)], standalone_mode=False)
        card = (trained / "MODEL_CARD.md").read_text()
    finally:
        file.write_text(record)
        (trained / "MODEL_CARD.md").unlink(missing_ok=True)
    assert "| validation images | CCC" in card
    assert "also chose the best epoch: the scores are optimistic" in card
    assert "Contrast in the last epoch: dead (mean |Sp(z) − Sm(z)| 0.00" in card
    assert "not comparable with published" in card
