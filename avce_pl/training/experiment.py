"""The story of one run: from its settings to a folder with its model, metrics and pictures."""

import atexit
import errno
import gc
import json
import logging
import os
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.loggers import Logger

from avce_pl.config.instantiate import build, without_weights
from avce_pl.config.settings import Settings
from avce_pl.dataset.core.datamodule import FaceDataModule
from avce_pl.errors import AvceError, Interrupted
from avce_pl.report.figures.run import draw_run
from avce_pl.runs.folder import open_run
from avce_pl.runs.identity import refuse_other_run, run_digest, settings_identity
from avce_pl.runs.lock import lock_folder
from avce_pl.runs.records import read_metrics
from avce_pl.training.build import build_datamodule, build_metrics, build_module, build_trainer
from avce_pl.training.callbacks.agreement import Agreement
from avce_pl.training.callbacks.batch_statistics import BatchStatistics
from avce_pl.training.callbacks.best_checkpoint import BestCheckpoint
from avce_pl.training.callbacks.contrast import ContrastWatch
from avce_pl.training.callbacks.history import History
from avce_pl.training.callbacks.interruption import Interruption
from avce_pl.training.callbacks.predictions import PredictionWriter
from avce_pl.training.callbacks.profile import Profile
from avce_pl.training.callbacks.progress import RunProgress
from avce_pl.training.fine_tuning import source_digest, start_from
from avce_pl.training.provenance import provenance
from avce_pl.utils.files import atomic_write
from avce_pl.utils.processes import is_first_process
from avce_pl.utils.text import nearest

log = logging.getLogger(__name__)

PAPER_IMAGE_SIZE, PAPER_EPOCHS = 224, 100
"""Of the paper's trainings; the image size in pixels."""


def run_experiment(settings: Settings) -> dict[str, Any]:
    """Trains, tests and records one run in its folder; a finished run is not repeated.

    Args:
        settings: the run, see `avce_pl.config.settings.read_settings`.

    Returns:
        What its ``metrics.json`` holds.

    Raises:
        AvceError: something in the configuration, the data or the folder that the user can correct.
        Interrupted: the run was asked to stop, and can be resumed by the same command.
    """
    _quiet_libraries()
    folder = settings.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AvceError(
            f"The run folder {folder} cannot be written: {error.strerror}. Give another output_root=..."
        ) from error
    with lock_folder(folder) if is_first_process() else nullcontext(), _collect_garbage():
        (folder / "failed.txt").unlink(missing_ok=True)
        try:
            return _run(settings, folder)
        except (Interrupted, KeyboardInterrupt):
            if not is_first_process():
                sys.exit(0)  # the launcher kills the first process when another ends with a code
            raise
        except BaseException as error:
            with suppress(OSError):  # the disk may be what failed
                (folder / "failed.txt").write_text(traceback.format_exc())
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                raise AvceError(
                    f"The run folder {folder} could not be written: {error.strerror}. Free some space, or make it "
                    "writable, then run the same command again; it resumes from the last checkpoint."
                ) from error
            raise


def _resolve_latent_norm(settings: Settings) -> None:
    """Fills in whether z is normalised: from scratch yes, from given weights no, from a run as that run has it."""
    backbone = settings.backbone
    if "latent_norm" not in backbone or backbone["latent_norm"] is not None:
        return
    if settings.init_from is not None:
        backbone["latent_norm"] = open_run(settings.init_from).config["backbone"].get("latent_norm", "none")
    else:
        backbone["latent_norm"] = "batch" if backbone.get("weights") is None else "none"


def _refuse_impossible(settings: Settings) -> None:
    """Refuses a device or a precision that is not available, before faces are drawn and files read."""
    if settings.trainer.accelerator in ("gpu", "cuda") and not torch.cuda.is_available():
        raise AvceError(
            f"trainer.accelerator={settings.trainer.accelerator}, but torch finds no CUDA device here. Use "
            "trainer.accelerator=cpu, or run `avce doctor` to see why."
        )
    processes = settings.trainer.devices * settings.trainer.num_nodes
    if processes == 1 and int(os.environ.get("SLURM_PROCID", "0")) > 0:
        raise AvceError(
            f"srun started {os.environ.get('SLURM_NTASKS', 'several')} tasks, but trainer.devices=1 and "
            "trainer.num_nodes=1 need one. Use srun --ntasks=1, or set trainer.devices and trainer.num_nodes."
        )
    if settings.trainer.precision == "16-mixed":
        raise AvceError(
            "trainer.precision=16-mixed is refused: with several optimizers the loss scale changes between their "
            "steps and the gradients come out wrong. Use trainer.precision=bf16-mixed."
        )


def _run(settings: Settings, folder: Path) -> dict[str, Any]:
    started = time.monotonic()
    _refuse_impossible(settings)
    _resolve_latent_norm(settings)
    datamodule = build_datamodule(settings)
    datamodule.prepare_data()
    datamodule.setup("fit")
    classes = len(datamodule.class_names)
    if settings.callbacks.monitor is None:
        settings.callbacks.monitor = "val/accuracy" if classes else "val/ccc_mean"
    config = settings.model_dump(mode="json")
    identity = settings_identity(config) | _origin(settings) | {"dataset.fingerprint": datamodule.fingerprint}
    if classes:
        identity["dataset.classes"] = classes
    digest = run_digest(identity)

    refuse_other_run(folder, identity, force=settings.force and is_first_process())
    if done := read_metrics(folder):
        log.info("already done: %s (force=true runs it again)", folder)
        return done
    if is_first_process():
        atomic_write(folder / "config.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
        atomic_write(folder / "identity.json", json.dumps(identity, indent=1, sort_keys=True))

    module = build_module(settings, classes)
    agreement = Agreement(build_metrics(settings, classes))
    monitor = _known_monitor(settings.callbacks.monitor, agreement.maximised)
    if settings.init_from is not None:
        start_from(module, settings.init_from)
    if settings.freeze == "encoder":
        module.freeze_encoder()
    checkpoints = folder / "checkpoints"
    last = checkpoints / "last.ckpt"
    best = BestCheckpoint(checkpoints, monitor)
    interruption = Interruption(last, settings.callbacks.checkpoint_minutes)
    predictions = PredictionWriter(datamodule.index, datamodule.test_split, datamodule.class_names)
    contrast = ContrastWatch()
    callbacks: list[pl.Callback] = [
        BatchStatistics(settings.callbacks.statistics_batches),
        agreement,  # before what chooses the best epoch
        contrast,  # before what writes checkpoints
        best,
        interruption,
        predictions,
        RunProgress(monitor, settings.label),
    ]
    if settings.trainer.profile:
        callbacks.append(Profile(folder))
    tracker = None
    if settings.logger.name == "wandb" and is_first_process():
        from avce_pl.training import wandb_logger  # W&B takes a second to import

        tracker = wandb_logger.open_logger(settings, config)
    loggers: list[Logger] = [History(folder / "history.csv"), *([tracker] if tracker else [])]
    record: dict[str, Any] | None = None
    interruption.install()
    try:
        trainer = build_trainer(settings, folder, callbacks, loggers)
        if last.exists():
            log.info("resuming from %s", last)
        elif settings.backbone.get("weights") is None and settings.init_from is None:
            module.initialise(_first_images(datamodule, 256))
        encoder_map = _encoder_map(settings, settings.dataset["image_size"])
        log.info(
            "%s on %s: %d px (last map of the encoder %s), %d epoch%s, batches of %d; the paper: %d px (%s), %d "
            "epochs, batches of %d. Run folder: %s",
            settings.method["name"],
            settings.dataset["name"],
            settings.dataset["image_size"],
            _by(encoder_map),
            settings.trainer.max_epochs,
            "s" * (settings.trainer.max_epochs > 1),
            datamodule.batch_size,
            PAPER_IMAGE_SIZE,
            _by(_encoder_map(settings, PAPER_IMAGE_SIZE)),
            PAPER_EPOCHS,
            module.backbone.batch_size,
            folder,
        )
        trainer.fit(module, datamodule=datamodule, ckpt_path=last if last.exists() else None)
        contrasted = contrast.record  # the test puts every callback back to the best epoch
        trainer.test(module, datamodule=datamodule, ckpt_path=best.best_model_path, verbose=False)
        test = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("test/")}
        record = {
            "digest": digest,
            "name": settings.name,
            "seed": settings.seed,
            **{group: config[group]["name"] for group in ("dataset", "method", "backbone", "crl_formula", "mining")},
            "monitor": monitor,
            "best": {monitor: float(cast(torch.Tensor, best.best_model_score))},
            "test": test,
            **({"confusion": agreement.confusion.tolist()} if agreement.confusion is not None else {}),
            **({"contrast": contrasted} if contrasted else {}),
            **({"encoder_map": encoder_map} if encoder_map else {}),
            "updates": trainer.global_step,
            "data": datamodule.describe(),
            "parameters": {
                "inference": sum(p.numel() for p in module.trunk_parameters()),
                "all": sum(p.numel() for p in module.parameters()),
            },
            "run": provenance() | {"seconds": round(time.monotonic() - started, 1)},
        }
        if is_first_process():
            predictions.write(folder)
            draw_run(folder, record)
            atomic_write(folder / "metrics.json", json.dumps(record, indent=1))
    finally:
        interruption.uninstall()
        if tracker is not None:
            wandb_logger.finish(tracker, record, folder)
    return record


def _known_monitor(monitor: str, known: list[str]) -> str:
    if monitor not in known:
        raise AvceError(f"callbacks.monitor={monitor} is not a validation score to maximise{nearest(monitor, known)}")
    return monitor


def _encoder_map(settings: Settings, side: int) -> list[int] | None:
    """Height and width of the encoder's last map at this image size; ``None`` where it gives no map."""
    with torch.device("meta"):  # shapes alone; an encoder that is built for one side has that side here
        backbone = build(without_weights(settings.backbone), "backbone", image_size=side)
        output = backbone.encoder.eval()(torch.empty(1, 3, side, side))
    return list(output.shape[2:]) if output.ndim == 4 else None


def _by(size: list[int] | None) -> str:
    return "none" if size is None else f"{size[0]}x{size[1]}"


def _first_images(datamodule: FaceDataModule, count: int) -> torch.Tensor:
    """The first training images, normalised: (at most `count`, 3, H, W)."""
    images: list[torch.Tensor] = []
    for batch in datamodule.train_dataloader():
        images.extend(datamodule.on_after_batch_transfer(batch, 0)["image"])
        if len(images) >= count:
            break
    return torch.stack(images[:count])


def _origin(settings: Settings) -> dict[str, Any]:
    """What the initial weights and what is frozen add to the identity; nothing for a run from scratch."""
    pretrained = settings.backbone.get("weights") is not None
    if settings.init_from is not None and pretrained:
        raise AvceError("init_from and backbone.weights both give the backbone's initial weights. Choose one of them.")
    if settings.freeze == "encoder" and settings.init_from is None and not pretrained:
        raise AvceError(
            "freeze=encoder would keep random weights. Give trained ones: init_from=RUN_FOLDER or backbone.weights=..."
        )
    origin: dict[str, Any] = {}
    if settings.init_from is not None:
        origin["init_from"] = source_digest(settings.init_from)
    if settings.freeze != "none":
        origin["freeze"] = settings.freeze
    return origin


@contextmanager
def _collect_garbage() -> Iterator[None]:
    """Frees what a row leaves behind in reference cycles, network and data, before the next one of a sweep begins.

    Python itself would look for it only when there are a quarter more objects than the half million of the imports.
    Those are excluded at first, or looking would take as long as starting a row.
    """
    if not gc.get_freeze_count():
        gc.freeze()
        atexit.register(gc.unfreeze)
    try:
        yield
    finally:
        gc.collect()


def _quiet_libraries() -> None:
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    if not is_first_process():
        logging.disable(logging.INFO)
    known = (
        ".*does not have many workers.*",
        ".*sync_dist=True.*",  # the metrics are those of all processes already
        r"torch\.distributed\.nn\.functional\.\w+ is deprecated",  # Lightning's gathering and ours
        ".*LeafSpec.*is deprecated.*",
        ".*smaller than the logging.*",
        ".*in eval mode at the start.*",  # a frozen encoder
        "Checkpoint directory .* exists and is not empty",  # a resumed run
    )
    for message in known:
        warnings.filterwarnings("ignore", message=message)
