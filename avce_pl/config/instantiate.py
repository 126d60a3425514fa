"""Builds one object from one group's section of the configuration; knows neither Hydra nor Lightning."""

import importlib
from collections.abc import Iterable, Mapping
from typing import Any

from avce_pl.config.settings import check_arguments, parameters
from avce_pl.errors import AvceError


def build(section: Mapping[str, Any], group: str, **given: Any) -> Any:
    """Builds the object that a group's YAML describes.

    Args:
        section: ``name``, ``_target_`` (a class of this package or of a trusted one) and the class's parameters.
        group: the group's name, for messages.
        given: parameters that the program supplies.

    Raises:
        AvceError: ``_target_`` may not be built, or a parameter is wrong.
    """
    cls = target_class(section, group)
    wanted = parameters(cls)
    given = {key: value for key, value in given.items() if key in wanted}
    section = {key: value for key, value in section.items() if key not in ("name", "_target_")}
    return cls(**check_arguments(cls, section, group, given), **given)


def without_weights(section: Mapping[str, Any]) -> dict[str, Any]:
    """A backbone's section that loads no pretrained weights; a class without the parameter ``weights`` has none."""
    return {key: None if key == "weights" else value for key, value in section.items()}


_trusted = {"avce_pl"}


def trust(packages: Iterable[str]) -> None:
    """Allows configurations to name classes of these packages too, in this process, from now on.

    For the person at the keyboard to say, never for a file: building an object runs its package's code.
    """
    _trusted.update(packages)


def target_class(section: Mapping[str, Any], group: str) -> Any:
    """The class that ``_target_`` of a group's YAML names.

    Raises:
        AvceError: it is not a class of this package or of a trusted one, see `trust`.
    """
    target = str(section.get("_target_"))
    module, _, name = target.rpartition(".")
    package = module.partition(".")[0]
    refused = f"{group}._target_={target} is refused: a configuration may only name classes of avce_pl"
    if package not in _trusted:
        known = ", ".join(sorted(_trusted - {"avce_pl"}))
        raise AvceError(
            f"{refused}{' and of ' + known if known else ''}. If you trust the code of the package {package}, add "
            f"trust=[{package}] to a training, or --trust {package} before the command of avce."
        )
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise AvceError(
            f"{group}._target_={target} cannot be imported: {error}. Is the package installed, or on PYTHONPATH?"
        ) from error
    # what a module imports is within reach too: functions, and classes of other packages
    if not isinstance(found, type) or found.__module__.partition(".")[0] not in _trusted:
        raise AvceError(f"{refused}, and {name} is not one.")
    return found
