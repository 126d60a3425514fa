"""Checks a resolved configuration before anything is built from it.

A typo, a wrong type or a value out of range is a sentence that names the key and the nearest valid one.
"""

import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Unpack, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.fields import FieldInfo

from avce_pl.errors import AvceError
from avce_pl.runs.identity import RETIRED
from avce_pl.runs.records import CHOICES, short_name
from avce_pl.utils.text import nearest

Section = dict[str, Any]
Model = TypeVar("Model", bound=BaseModel)
FolderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")]
"""A part of a run folder's path: nothing that leads out of `output_root`."""


PackageName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class TrainerSettings(BaseModel):
    """The group ``trainer``: how long and on what; the parameters of the same names of Lightning's Trainer."""

    model_config = ConfigDict(extra="forbid")
    name: str
    max_epochs: Annotated[int, Field(gt=0)]
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"]
    devices: Annotated[int, Field(gt=0)]
    num_nodes: Annotated[int, Field(gt=0)]
    strategy: str
    precision: Literal["32-true", "bf16-mixed", "16-mixed"]
    deterministic: bool | Literal["warn"]
    log_every_n_steps: Annotated[int, Field(gt=0)]
    limit_train_batches: Annotated[int, Field(gt=0)] | Annotated[float, Field(gt=0, le=1)]
    limit_val_batches: Annotated[int, Field(gt=0)] | Annotated[float, Field(gt=0, le=1)]
    limit_test_batches: Annotated[int, Field(gt=0)] | Annotated[float, Field(gt=0, le=1)]
    num_threads: Annotated[int, Field(gt=0)] | None
    profile: bool = False  # runs of older versions lack it


class CallbackSettings(BaseModel):
    """The group ``callbacks``: what is kept of a run, and how often."""

    model_config = ConfigDict(extra="forbid")
    name: str
    monitor: str | None
    checkpoint_minutes: Annotated[float, Field(gt=0)]
    statistics_batches: Annotated[int, Field(ge=0)] = 0  # runs of older versions lack it


class LoggerSettings(BaseModel):
    """The group ``logger``: Weights & Biases, or only the files of the run folder."""

    model_config = ConfigDict(extra="forbid")
    name: Literal["wandb", "none"]
    project: str | None = None
    entity: str | None = None
    mode: Literal["auto", "online", "offline"] | None = None


class Choice(BaseModel):
    """The option of a group that names a part of the run's folder."""

    name: FolderName


class Settings(BaseModel):
    """The whole configuration of one run, as plain values."""

    model_config = ConfigDict(extra="forbid")
    name: FolderName
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    output_root: Path
    root: Path | None
    force: bool
    init_from: Path | None = None  # runs of older versions lack it and the next
    freeze: Literal["none", "encoder"] = "none"
    trust: list[PackageName] = []  # runs of version 0.1 lack it
    method: Section
    backbone: Section
    dataset: Section
    crl_formula: Section
    mining: Section
    similarity: Section
    feature_transform: Section
    optimizer: Section
    metrics: Section
    trainer: TrainerSettings
    callbacks: CallbackSettings
    logger: LoggerSettings

    @property
    def choices(self) -> dict[str, str]:
        """The options that name the run, by group."""
        return {group: getattr(self, group)["name"] for group in CHOICES}

    @property
    def label(self) -> str:
        """The run's short name; see `short_name`."""
        return short_name(self.choices, self.seed)

    @property
    def folder(self) -> Path:
        """The run's folder, made of the names of what was chosen; no timestamps."""
        return self.output_root.joinpath(self.name, *self.choices.values(), f"seed_{self.seed}")


def read_settings(config: Mapping[str, Any]) -> Settings:
    """Checks the whole configuration.

    Raises:
        AvceError: a key is unknown or missing, or a value is of the wrong type or out of range.
    """
    settings = _checked(Settings, config, "")
    for group in Settings.model_fields:
        if isinstance(section := getattr(settings, group), dict):
            _modernise(section, group)
    for group in CHOICES:
        _checked(Choice, {"name": getattr(settings, group).get("name")}, group)
    return settings


def _modernise(section: Section, group: str) -> None:
    """Takes retired settings out of a section; one that decides the result leads to the class that has it today.

    Raises:
        AvceError: no class has it.
    """
    retired = RETIRED.get(str(section.get("_target_")), {})
    for key, entry in retired.items():
        if section.get(key, entry.neutral) == entry.neutral:
            continue
        if entry.moved_to is None:
            raise AvceError(
                f"{group}.{key} no longer exists; a run that was trained with it predicts and exports, but cannot be "
                "trained further or explained. backbone.latent_norm=batch keeps the contrast alive instead."
            )
        section["_target_"] = entry.moved_to
    for key, entry in retired.items():
        if entry.moved_to == section["_target_"]:
            section.setdefault(key, entry.neutral)
        else:
            section.pop(key, None)


def check_arguments(target: type, section: Mapping[str, Any], where: str, given: Iterable[str]) -> Section:
    """Checks a group's section against the parameters of the class it builds.

    Args:
        target: the class.
        section: the parameters from the configuration.
        where: the group's name, for the messages.
        given: names of parameters that the program supplies itself.

    Returns:
        The parameters, converted to their annotated types.

    Raises:
        AvceError: see `read_settings`.
    """
    fields: dict[str, Any] = {
        name: (hint, FieldInfo(default=... if default is inspect.Parameter.empty else default))
        for name, (hint, default) in parameters(target).items()
        if name not in given
    }
    model = create_model(target.__name__, __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=True), **fields)
    values = _checked(model, section, where)
    return {name: getattr(values, name) for name in section}


def parameters(target: type) -> dict[str, tuple[Any, Any]]:
    """The parameters of a class's constructor: name -> annotated type and default (``Parameter.empty`` for none).

    ``**options: Unpack[SomeTypedDict]`` means the keys of the dict, whose defaults are the base class's.
    """
    hints = get_type_hints(target.__init__, include_extras=True)  # type: ignore[misc]
    found: dict[str, tuple[Any, Any]] = {}
    for parameter in inspect.signature(target).parameters.values():
        hint = hints.get(parameter.name)
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            found[parameter.name] = (hint, parameter.default)
        elif parameter.kind is parameter.VAR_KEYWORD and get_origin(hint) is Unpack:
            (options,) = get_args(hint)
            found |= {name: (hint, None) for name, hint in get_type_hints(options, include_extras=True).items()}
    return found


def _checked(model: type[Model], values: Mapping[str, Any], where: str) -> Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise AvceError("\n".join(_sentence(model, detail, where) for detail in error.errors())) from None


def _sentence(model: type[BaseModel], detail: Any, where: str) -> str:
    path = [str(part) for part in detail["loc"]]
    for name in path[:-1]:  # the model of a nested section, such as trainer
        annotation = model.model_fields[name].annotation if name in model.model_fields else None
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    key = ".".join([where, *path] if where else path)
    if detail["type"] == "extra_forbidden":
        return f"{key} is not a setting{nearest(path[-1], model.model_fields)}"
    if detail["type"] == "missing":
        return f"{key} is missing; give it on the command line as {key}=..."
    if detail["type"] == "string_pattern_mismatch":
        return f"{key}={detail['input']} cannot name a folder: use letters, digits, '_', '-' and '.', no '.' first."
    message = detail["msg"][0].lower() + detail["msg"][1:]
    return f"{key}={detail['input']} does not work: {message}."
