"""Fits a preset to classes that do not have all options it speaks of."""

from collections.abc import Iterable
from functools import cache
from typing import Any

import yaml

from avce_pl.config.instantiate import target_class
from avce_pl.config.override_errors import CONF
from avce_pl.config.settings import Settings, parameters


def leave_out_foreign(settings: Settings, overrides: Iterable[str]) -> None:
    """Removes what the presets say of options that the chosen classes do not have, such as a backbone without dropout.

    A key of the class's own YAML or of the command line stays: where the class does not have it, it is a mistake, for
    which `avce_pl.config.settings.check_arguments` has a sentence.

    Args:
        settings: the run; its sections are changed.
        overrides: the arguments of the command line, such as ``backbone.dropout=0.3``.

    Raises:
        AvceError: a section names a class that may not be built.
    """
    given = {override.lstrip("+~").partition("=")[0] for override in overrides}
    for group, keys in _preset_keys().items():
        section = getattr(settings, group)
        if isinstance(section, dict):
            known = parameters(target_class(section, group))
            for key in section.keys() & (keys - known.keys()):
                if f"{group}.{key}" not in given:
                    del section[key]


@cache
def _preset_keys() -> dict[str, set[str]]:
    """Group -> the keys that some preset sets there."""
    found: dict[str, set[str]] = {}
    for file in CONF.glob("preset/**/*.yaml"):
        content: dict[str, dict[str, Any]] = yaml.safe_load(file.read_text(encoding="utf-8"))
        for group in content.keys() & Settings.model_fields.keys():
            found.setdefault(group, set()).update(content[group].keys() - {"_target_"})
    return found
