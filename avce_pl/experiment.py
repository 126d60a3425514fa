"""Composes a run from its configuration, trains, tests and records it.

Everything below this module takes plain arguments and can be used without Hydra.
"""

import atexit
import errno
import fcntl
import gc
import json
import logging
import os
import platform
import shutil
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import Logger
from rich.console import Console

from avce_pl import tracking
from avce_pl.backbone.base import Backbone, read_state_dict
from avce_pl.building import build
from avce_pl.callbacks.batch_statistics import BatchStatistics
from avce_pl.callbacks.contrast import ContrastWatch
from avce_pl.callbacks.history import History
from avce_pl.callbacks.interruption import Interruption
from avce_pl.callbacks.predictions import PredictionWriter
from avce_pl.callbacks.profile import Profile
from avce_pl.callbacks.progress import RunProgress
from avce_pl.checkpoint import WholeCheckpoints
from avce_pl.dataset.datamodule import FaceDataModule
from avce_pl.errors import AvceError, Interrupted
from avce_pl.method.base import Method
from avce_pl.metrics.expression import ExpressionMetrics
from avce_pl.predict.run_folder import open_run, run_digest
from avce_pl.report.records import read_identity, read_metrics
from avce_pl.report.run_figure import draw_run
from avce_pl.report.summary import print_run
from avce_pl.settings import Settings, read_settings
from avce_pl.transfer import source_digest, start_from
from avce_pl.utils.text import nearest

log = logging.getLogger(__name__)

# keys that say where and how a run happens, not what its result is
_NOT_THE_RESULT = (
    "name",
    "output_root",
    "root",
    "force",
    "init_from",  # its run's digest is in the identity instead
    "freeze",  # the same, where something is frozen
    "logger",
    "callbacks.checkpoint_minutes",
    "dataset.root",
    "dataset.cache_dir",
    "dataset.num_workers",
    "dataset.cache_images",
    "dataset.task",  # dataset.classes stands for it
    "trainer.name",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.log_every_n_steps",
    "trainer.num_threads",
    "trainer.profile",
)


PAPER_IMAGE_SIZE, PAPER_EPOCHS = 224, 100
"""Of the paper's trainings; the image size in pixels."""


def run_experiment(config: DictConfig) -> float:
    """Trains, tests and records one run in its folder; what is there already is not done twice.

    Args:
        config: the composed configuration, see ``conf/config.yaml``.

    Returns:
        The best value of ``callbacks.monitor`` on the validation split.

    Raises:
        AvceError: something in the configuration, the data or the folder that the user can put right.
        Interrupted: the run was asked to stop, and can be resumed by the same command.
    """
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise AvceError(f"The configuration cannot be resolved: {error}") from None
    settings = read_settings(cast(dict[str, Any], plain))
    folder = settings.folder
    sweep = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
    if sweep and settings.trainer.devices * settings.trainer.num_nodes > 1:
        raise AvceError(
            f"A row of a sweep runs on one device, but trainer.devices={settings.trainer.devices} and "
            f"trainer.num_nodes={settings.trainer.num_nodes}: every process would run the whole sweep. Leave -m out "
            "for one run on several devices, or run rows beside each other with hydra/launcher=joblib."
        )
    _quiet_libraries()
    with _own(folder), _freed():
        (folder / "failed.txt").unlink(missing_ok=True)
        try:
            record = _run(settings, folder)
        except (Interrupted, KeyboardInterrupt):
            if not _leads():
                sys.exit(0)  # the launcher kills the first process when another ends with a code
            raise
        except BaseException as error:
            with suppress(OSError):  # the disk may be what failed
                (folder / "failed.txt").write_text(traceback.format_exc())
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                raise AvceError(
                    f"The run folder {folder} could not be written: {error.strerror}. Free some space, or make it "
                    "writable, then run the same command again; it goes on from the last checkpoint."
                ) from error
            raise
    monitor = record["monitor"]
    best = float(record["best"][monitor])
    if not _leads():
        return best
    if sweep:
        log.info("%s: best %s %.3f, in %s", settings.label, monitor, best, folder)
    else:
        print_run(folder, record, Console())
    return best


def build_datamodule(settings: Settings) -> FaceDataModule:
    """The data set of a run, at the backbone's own batch size where none is set."""
    section = dict(settings.dataset)
    if section.get("batch_size") is None:
        section["batch_size"] = build(settings.backbone | {"weights": None}, "backbone").batch_size
    return cast(FaceDataModule, build(section, "dataset", seed=settings.seed))


def build_module(settings: Settings, classes: int = 0, *, weights: bool = True) -> Method:
    """The method with its networks, formula, mining, similarity and transform: five networks in one module.

    Args:
        settings: the run.
        classes: number of expressions to tell apart, which have metrics of their own; 0 for valence and arousal.
        weights: whether to load the backbone's pretrained weights; not needed where a checkpoint follows.

    Raises:
        AvceError: the images are too small for the backbone.
    """
    pl.seed_everything(settings.seed, verbose=False)
    section = settings.backbone if weights else settings.backbone | {"weights": None}
    backbone = cast(Backbone, build(section, "backbone"))
    if (side := settings.dataset["image_size"]) < backbone.smallest_image:
        raise AvceError(
            f"dataset.image_size={side} is too small for backbone={settings.backbone['name']}, which needs "
            f"{backbone.smallest_image} pixels."
        )
    components = {
        group: build(getattr(settings, group), group)
        for group in ("crl_formula", "mining", "similarity", "feature_transform", "optimizer", "metrics")
    }
    if classes:
        components["metrics"] = ExpressionMetrics(classes)
    given = components | {"backbone": backbone, "seed": settings.seed, "classes": classes}
    return cast(Method, build(settings.method, "method", **given))


def build_trainer(settings: Settings, folder: Path, callbacks: list[pl.Callback], loggers: list[Logger]) -> pl.Trainer:
    """Lightning's Trainer with the run's callbacks and loggers."""
    if settings.trainer.num_threads is not None:
        torch.set_num_threads(settings.trainer.num_threads)
    return pl.Trainer(
        **settings.trainer.model_dump(exclude={"name", "num_threads", "profile"}),
        default_root_dir=folder,
        callbacks=callbacks,
        logger=loggers,
        plugins=[WholeCheckpoints()],
        enable_progress_bar=False,  # RunProgress shows the whole run
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # the data module shares batches itself, without padding
    )


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
    """A device or a precision that is not to be had is found before faces are drawn and files read."""
    if settings.trainer.accelerator in ("gpu", "cuda") and not torch.cuda.is_available():
        raise AvceError(
            f"trainer.accelerator={settings.trainer.accelerator}, but torch finds no CUDA device here. Use "
            "trainer.accelerator=cpu, or run `avce doctor` to see why."
        )
    if settings.trainer.precision == "16-mixed":
        raise AvceError(
            "trainer.precision=16-mixed is refused: with several optimizers the loss scale changes between their "
            "steps and the gradients come out wrong. Use trainer.precision=bf16-mixed."
        )


def load_run(folder: Path | str) -> Method:
    """The best model of a finished run, on the CPU, in evaluation mode.

    Raises:
        AvceError: the folder holds no finished run.
    """
    run = open_run(folder)
    module = build_module(read_settings(run.config), run.classes, weights=False)
    module.load_state_dict(read_state_dict(run.checkpoint))
    return module.eval()


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
    identity = _identity(config) | _origin(settings) | {"dataset.fingerprint": datamodule.fingerprint}
    if classes:
        identity["dataset.classes"] = classes
    digest = run_digest(identity)

    _refuse_other_run(folder, identity, force=settings.force and _leads())
    if done := read_metrics(folder):
        log.info("already done: %s (force=true runs it again)", folder)
        return done
    if _leads():
        _write(folder / "config.yaml", OmegaConf.to_yaml(config))
        _write(folder / "identity.json", json.dumps(identity, indent=1, sort_keys=True))

    module = build_module(settings, classes)
    monitor = _known_monitor(settings.callbacks.monitor, module)
    if settings.init_from is not None:
        start_from(module, settings.init_from)
    if settings.freeze == "encoder":
        module.freeze_encoder()
    checkpoints = folder / "checkpoints"
    last = checkpoints / "last.ckpt"
    best = ModelCheckpoint(
        dirpath=checkpoints,
        filename="best",
        monitor=monitor,
        mode="max",
        save_on_train_epoch_end=False,  # but after validation: `last.ckpt`, written at the epoch's end, knows of it
        enable_version_counter=False,
    )
    interruption = Interruption(last, settings.callbacks.checkpoint_minutes)
    predictions = PredictionWriter(datamodule.index, datamodule.test_split, datamodule.class_names)
    contrast = ContrastWatch()
    callbacks: list[pl.Callback] = [
        BatchStatistics(settings.callbacks.statistics_batches),
        contrast,  # before what writes checkpoints
        best,
        interruption,
        predictions,
        RunProgress(monitor, settings.label),
    ]
    if settings.trainer.profile:
        callbacks.append(Profile(folder))
    tracker = tracking.wandb_logger(settings, config) if settings.logger.name == "wandb" and _leads() else None
    loggers: list[Logger] = [History(folder / "history.csv"), *([tracker] if tracker else [])]
    record: dict[str, Any] | None = None
    interruption.install()
    try:
        trainer = build_trainer(settings, folder, callbacks, loggers)
        if last.exists():
            log.info("going on from %s", last)
        elif settings.backbone.get("weights") is None and settings.init_from is None:
            module.initialise(_first_images(datamodule, 256))
        encoder_map = _encoder_map(module, settings.dataset["image_size"])
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
            _by(_encoder_map(module, PAPER_IMAGE_SIZE)),
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
            **({"confusion": module.confusion.tolist()} if module.confusion is not None else {}),
            **({"contrast": contrasted} if contrasted else {}),
            **({"encoder_map": encoder_map} if encoder_map else {}),
            "updates": trainer.global_step,
            "data": datamodule.describe(),
            "parameters": {
                "inference": sum(p.numel() for p in module.trunk_parameters()),
                "all": sum(p.numel() for p in module.parameters()),
            },
            "run": _circumstances() | {"seconds": round(time.monotonic() - started, 1)},
        }
        if _leads():
            predictions.write(folder)
            draw_run(folder, record)
            _write(folder / "metrics.json", json.dumps(record, indent=1))
    finally:
        interruption.uninstall()
        if tracker is not None:
            tracking.finish(tracker, record, folder)
    return record


def _known_monitor(monitor: str, module: Method) -> str:
    known = [f"val/{name}" for name in cast(Any, module.metrics).maximised]
    if monitor not in known:
        raise AvceError(f"callbacks.monitor={monitor} is no validation metric to maximise{nearest(monitor, known)}")
    return monitor


@torch.no_grad()
def _encoder_map(module: Method, side: int) -> list[int] | None:
    """Height and width of the encoder's last map at this image size; ``None`` where it gives no map."""
    encoder = module.backbone.encoder
    modes = {part: part.training for part in encoder.modules()}
    output = encoder.eval()(torch.zeros(1, 3, side, side, device=module.device))
    for part, mode in modes.items():
        part.training = mode
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


def _identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as ``group.key`` -> value, without what does not change the result."""
    flat: dict[str, Any] = {}

    def walk(prefix: str, value: Any) -> None:
        if prefix in _NOT_THE_RESULT:
            return
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{prefix}.{key}" if prefix else key, inner)
        else:
            flat[prefix] = value

    walk("", config)
    return flat


def _origin(settings: Settings) -> dict[str, Any]:
    """What the first weights and what is frozen add to the identity; nothing for a run from scratch."""
    pretrained = settings.backbone.get("weights") is not None
    if settings.init_from is not None and pretrained:
        raise AvceError("init_from and backbone.weights both give the backbone's first weights. Choose one of them.")
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


def _refuse_other_run(folder: Path, identity: Mapping[str, Any], *, force: bool) -> None:
    if force:
        for entry in folder.iterdir():
            if entry.name != ".lock":
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    nothing_to_lose = not (folder / "checkpoints").exists() and not (folder / "metrics.json").exists()
    if nothing_to_lose or not (there := read_identity(folder)):
        return
    keys = [key for key in sorted({*there, *identity}) if there.get(key) != identity.get(key)]
    if keys:
        changes = ", ".join(f"{key} (there {there.get(key)}, now {identity.get(key)})" for key in keys)
        raise AvceError(
            f"{folder} holds a run with other settings: {changes}. Give this one its own name=..., or "
            "force=true to throw the old one away."
        )


@contextmanager
def _own(folder: Path) -> Iterator[None]:
    """Makes the run's folder and keeps other processes out of it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise AvceError(
            f"The run folder {folder} cannot be written: {error.strerror}. Give another output_root=..."
        ) from error
    with lock:
        if _leads():
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AvceError(
                    f"Another process is working in {folder}. Wait for it, or give this run its own name=..."
                ) from None
        yield


@contextmanager
def _freed() -> Iterator[None]:
    """Frees what a row leaves behind in reference cycles, network and data, before the next one of a sweep begins.

    Python itself would look for it only when there are a quarter more objects than the half million of the imports.
    Those are set aside at first, or looking would take as long as starting a row.
    """
    if not gc.get_freeze_count():
        gc.freeze()
        atexit.register(gc.unfreeze)
    try:
        yield
    finally:
        gc.collect()


def _leads() -> bool:
    """Whether this process writes the files and talks: it is alone, or the first of several of one run."""
    numbers = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
    return not any(int(os.environ.get(number, "0")) for number in numbers)


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _circumstances() -> dict[str, Any]:
    """Versions and machine, as far as they help to repeat a run and name nobody."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=Path(__file__).parent, capture_output=True, text=True
    )
    packages = ("torch", "torchvision", "pytorch-lightning", "opencv-python-headless", "numpy")
    return {
        "commit": commit.stdout.strip() or None,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _quiet_libraries() -> None:
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    if not _leads():
        logging.disable(logging.INFO)
    known = (
        ".*does not have many workers.*",
        ".*sync_dist=True.*",  # the metrics are those of all processes already
        r"torch\.distributed\.nn\.functional\.\w+ is deprecated",  # Lightning's gathering and ours
        ".*LeafSpec.*is deprecated.*",
        ".*smaller than the logging.*",
        ".*in eval mode at the start.*",  # a frozen encoder
        "Checkpoint directory .* exists and is not empty",  # a run that goes on
    )
    for message in known:
        warnings.filterwarnings("ignore", message=message)
