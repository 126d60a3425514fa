"""Builds one object from one group's section of the configuration; knows neither Hydra nor Lightning."""

import importlib
from collections.abc import Mapping
from typing import Any

from avce_pl.config.settings import check_arguments, parameters
from avce_pl.errors import AvceError


def build(section: Mapping[str, Any], group: str, **given: Any) -> Any:
    """Builds the object that a group's YAML describes.

    Args:
        section: ``name``, ``_target_`` (a class of this package) and the class's parameters.
        group: the group's name, for messages.
        given: parameters that the program supplies.

    Raises:
        AvceError: ``_target_`` is not a class of this package, or a parameter is wrong.
    """
    cls = target_class(section, group)
    wanted = parameters(cls)
    given = {key: value for key, value in given.items() if key in wanted}
    section = {key: value for key, value in section.items() if key not in ("name", "_target_")}
    return cls(**check_arguments(cls, section, group, given), **given)


def target_class(section: Mapping[str, Any], group: str) -> Any:
    """The class that ``_target_`` of a group's YAML names.

    Raises:
        AvceError: it is not a class of this package.
    """
    target = str(section.get("_target_"))
    module, _, name = target.rpartition(".")
    refused = f"{group}._target_={target} is refused: only classes of avce_pl are built from a configuration."
    if not module.startswith("avce_pl."):
        raise AvceError(refused)
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise AvceError(f"{group}._target_={target} cannot be imported: {error}.") from error
    # what a module of ours imports is within reach too: its functions, and classes of other packages
    if not isinstance(found, type) or not found.__module__.startswith("avce_pl."):
        raise AvceError(refused)
    return found
