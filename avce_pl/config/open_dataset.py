"""A data set by its name on the command line, without the rest of a run's configuration."""

from pathlib import Path
from typing import Any

import yaml

from avce_pl.config.instantiate import build, target_class
from avce_pl.dataset.files.datamodule import FileDataModule
from avce_pl.errors import AvceError
from avce_pl.utils.resources import ROOT
from avce_pl.utils.text import nearest


def dataset_options() -> dict[str, dict[str, Any]]:
    """Option of the group ``dataset`` -> what its YAML holds, by name, for all that are on disk."""
    paths = sorted((ROOT / "conf" / "dataset").glob("*.yaml"))
    return {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in paths}


def dataset_class(name: str) -> type[Any]:
    """The class that an option of the group ``dataset`` names.

    Raises:
        AvceError: there is no such option, or its class cannot be imported.
    """
    options = dataset_options()
    if name not in options:
        raise AvceError(f"There is no data set {name}{nearest(name, options)}")
    found: type[Any] = target_class(options[name], "dataset")
    return found


def open_dataset(name: str, root: Path, options: list[str]) -> FileDataModule:
    """The data set that ``python run.py dataset=NAME root=FOLDER dataset.KEY=VALUE`` would train on.

    Args:
        name: An option of the group ``dataset``.
        root: Its folder.
        options: ``KEY=VALUE`` each, with or without ``dataset.`` before it.

    Raises:
        AvceError: the name or an option is wrong, or it is not a data set of image files.
    """
    if not issubclass(dataset_class(name), FileDataModule):
        raise AvceError(f"{name} is drawn, not read from files: there is nothing to check or to prepare.")
    section = dataset_options()[name] | {"root": str(root)}
    for option in options:
        key, equals, value = option.removeprefix("dataset.").partition("=")
        if not equals:
            raise AvceError(f"{option} is not an option; they are written KEY=VALUE, such as scale=10.")
        section[key] = yaml.safe_load(value)
    data: FileDataModule = build(section, "dataset", seed=0)
    return data
