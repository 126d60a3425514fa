"""The smallest run there is, trained in this process."""

from pathlib import Path

from tests.support.commands import ROOT


def smallest_run(cache: Path, outputs: Path) -> list[str]:
    """24 training faces, two epochs of three batches."""
    return [
        "dataset.train_subjects=3",
        "dataset.val_subjects=2",
        "dataset.test_subjects=2",
        "dataset.images_per_subject=8",
        "dataset.batch_size=8",
        f"dataset.cache_dir={cache}",
        "trainer.max_epochs=2",
        "trainer.log_every_n_steps=1",
        "trainer.accelerator=cpu",
        "logger=none",
        f"output_root={outputs}",
    ]


def train(overrides: list[str]) -> Path:
    """Trains in this process; returns the run's folder."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from avce_pl.config.settings import read_settings
    from avce_pl.training.main import run_row

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("config", overrides)
    run_row(config)
    return read_settings(OmegaConf.to_container(config, resolve=True)).folder
