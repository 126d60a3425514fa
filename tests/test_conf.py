"""Every YAML file on disk is a test."""

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from avce_pl.config.open_dataset import dataset_class, dataset_options
from avce_pl.config.override_errors import CONF
from avce_pl.config.presets import leave_out_foreign
from avce_pl.config.settings import parameters, read_settings
from avce_pl.dataset.files.video_datamodule import VideoDataModule
from avce_pl.synthesis.writers import LAYOUTS, write_layout
from avce_pl.training.build import build_datamodule, build_metrics, build_module
from avce_pl.training.callbacks.agreement import Agreement

FILES = sorted(path for path in CONF.glob("*/*.yaml") if path.parent.name not in ("experiment", "preset", "budget"))
COMPONENTS = [path for path in FILES if "_target_" in path.read_text()]
# parameters that the program supplies
GIVEN = {
    "method": {
        "backbone",
        "seed",
        "crl_formula",
        "mining",
        "similarity",
        "feature_transform",
        "optimizer",
        "metrics",
        "classes",
    },
    "dataset": {"seed"},
    "backbone": {"image_size"},
}


def name(path: Path) -> str:
    return str(path.relative_to(CONF).with_suffix(""))


def settings(*overrides: str):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = OmegaConf.to_container(compose("config", list(overrides)), resolve=True)
    return read_settings(config)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_name_is_the_file_stem_and_no_other_group_is_read(path: Path) -> None:
    section = yaml.safe_load(path.read_text())
    assert section["name"] == path.stem
    assert set(re.findall(r"\$\{(\w+)", path.read_text())) <= {"root", "seed"}, "no ${...} into another group"


@pytest.mark.parametrize("path", COMPONENTS, ids=name)
def test_keys_are_the_parameters_of_one_class(path: Path) -> None:
    section = yaml.safe_load(path.read_text())
    module, _, cls = section["_target_"].rpartition(".")
    group = path.parent.name
    assert module.startswith(f"avce_pl.{group}."), "mining=hard opens avce_pl/mining/hard.py"
    target = getattr(importlib.import_module(module), cls)
    assert section.keys() - {"name", "_target_", "defaults"} == parameters(target).keys() - GIVEN.get(group, set())


@pytest.mark.parametrize("path", sorted((CONF / "experiment").glob("*.yaml")), ids=name)
def test_every_experiment_composes(path: Path) -> None:
    settings(f"experiment={path.stem}")


def on_small_data(option: str, tiny: list[str], root: Path, cut_provided: Callable[..., None]) -> list[str]:
    """Overrides for the smallest run on a data set, which is drawn in its layout if it is read from files."""
    section = dataset_options()[option]
    videos = [o.replace("images_per_subject", "frames_per_video").replace("subjects", "videos") for o in tiny]
    fits = [o for o in dict.fromkeys([*tiny, *videos]) if o.split("=")[0].removeprefix("dataset.") in section]
    overrides = [*(o for o in tiny if not o.startswith("dataset.")), *fits, f"dataset={option}"]
    if "root" not in section:
        return overrides
    layouts = [name for name, layout in LAYOUTS.items() if layout.dataset == option]
    if not layouts:
        pytest.skip("nothing draws this layout; its reader has tests of its own")
    overrides += [f"root={root}", "dataset.num_workers=0"]
    if issubclass(dataset_class(option), VideoDataModule):
        write_layout(layouts[-1], root, train=15, val=2, test=0, size=48, frames=8)
        overrides.append("dataset.batch_size=24")  # labels hardly change within 8 frames
        data = build_datamodule(settings(*overrides))
        if data.unprepared:
            cut_provided(data, root / "prepared")
    else:
        write_layout(layouts[-1], root, train=8, val=4, size=80)
    return overrides


@pytest.mark.parametrize("path", FILES, ids=name)
def test_every_option_trains(path: Path, tiny: list[str], tmp_path: Path, cut_provided) -> None:
    group, option = path.parent.name, path.stem
    overrides = [*tiny, f"{group}={option}", "logger=none"]
    if group == "dataset":
        overrides = [*on_small_data(option, tiny, tmp_path / "data", cut_provided), "logger=none"]
    if (group, option) in (("method", "dacl"), ("method", "dlp")):
        overrides.append("dataset=synthetic_expression")
    if (group, option) == ("trainer", "ddp"):
        overrides.append("trainer.devices=1")  # two processes are tried as a user starts them, in test_run.py
    one = settings(*overrides)
    leave_out_foreign(one, overrides)
    datamodule = build_datamodule(one)
    module = build_module(one, len(datamodule.class_names))
    weight = [p for p in module.backbone.parameters() if p.ndim >= 2][-1]
    before = weight.detach().clone()
    trainer = pl.Trainer(
        fast_dev_run=True,
        accelerator="cpu",
        callbacks=[Agreement(build_metrics(one, len(datamodule.class_names)))],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=datamodule)
    assert trainer.global_step == 1
    assert not before.equal(weight)
    assert ("val/accuracy" if datamodule.class_names else "val/ccc_mean") in trainer.callback_metrics


@pytest.mark.parametrize("budget", [path.stem for path in sorted((CONF / "budget").glob("*.yaml"))])
def test_every_budget_composes(budget: str) -> None:
    settings(f"budget={budget}", "method=avce")


@pytest.mark.parametrize("formula", ["infonce", "barlow_twins", "none"])
def test_the_official_preset_goes_with_every_formula(formula: str) -> None:
    one = settings("preset=official", f"crl_formula={formula}")
    build_module(one)
    assert one.method["crl_weight"] == 0.0256, "1e-4 belongs to the batch sum, which only AVCE's formula has"
    assert settings("preset=official").method["crl_weight"] == 1e-4


def test_a_method_without_contrast_says_so_in_its_folder() -> None:
    assert str(settings("method=baseline").folder).endswith("synthetic/baseline/al/none/none/seed_0")
    assert settings("method=baseline", "crl_formula=avce").crl_formula["name"] == "avce", "the command line has its way"


@pytest.mark.parametrize("preset", [path.stem for path in sorted((CONF / "preset").glob("*.yaml"))])
def test_every_preset_trains(preset: str, run) -> None:
    assert (run(f"preset={preset}") / "metrics.json").exists()


@pytest.mark.parametrize("method", ["avce", "caf", "baseline"])
@pytest.mark.parametrize("preset", ["official", "paper", "tuned"])
def test_a_budget_changes_image_size_epochs_and_batch_size_only(preset: str, method: str) -> None:
    def recipe(budget: str) -> dict[str, Any]:
        one = settings(f"budget={budget}", f"preset={preset}", f"method={method}").model_dump()
        for key in ("image_size", "resize_size", "batch_size"):
            del one["dataset"][key]
        del one["trainer"]
        return one

    assert recipe("laptop") == recipe("sweep") == recipe("deep") == recipe("paper")


def test_the_official_preset_is_the_released_code() -> None:
    one = settings("preset=official", "budget=sweep")
    assert one.method["update"] == "two_phase"
    assert (one.method["regularisation_weight"], one.method["hold_weight"]) == (1.0, 0.01)
    assert one.method["dropout"] == one.backbone["dropout"] == 0.5
    assert (one.backbone["initialisation"], one.backbone["latent_norm"]) == ("torch", "none")
    assert (one.optimizer["name"], one.optimizer["learning_rate"]) == ("step_decay", 1e-4)
    assert (one.optimizer["head_optimizer"], one.optimizer["head_learning_rate"]) == ("sgd", 1e-2)
    assert one.callbacks.statistics_batches == 0


def test_a_budget_of_the_papers_brings_the_papers_recipe() -> None:
    assert settings("budget=paper").method["update"] == "two_phase"
    assert settings("budget=paper").method["regularisation_weight"] == 1.0
    assert settings("budget=paper", "preset=tuned").method["update"] == "shared"


def test_cafs_schedule_is_its_own_unless_a_preset_has_one() -> None:
    assert settings("method=caf", "budget=paper").optimizer["name"] == "periodic_decay"
    assert settings("method=caf", "budget=sweep").optimizer["name"] == "cosine"
    assert settings("method=caf", "budget=paper", "optimizer=step_decay").optimizer["name"] == "step_decay"
    assert settings("method=caf", "preset=official").method["agreement"] == "official"
    assert settings("method=caf", "budget=paper").method["adversarial_weight"] == 0.1
    assert settings("method=caf", "budget=sweep").method["batch_norm"]
