"""A data set by its name on the command line, without the rest of a run's configuration."""

from pathlib import Path

import yaml

from avce_pl.config.instantiate import build, target_class
from avce_pl.dataset.files.datamodule import FileDataModule
from avce_pl.errors import AvceError
from avce_pl.utils.resources import ROOT
from avce_pl.utils.text import nearest


def open_dataset(name: str, root: Path, options: list[str]) -> FileDataModule:
    """The data set that ``python run.py dataset=NAME root=FOLDER dataset.KEY=VALUE`` would train on.

    Args:
        name: An option of the group ``dataset``.
        root: Its folder.
        options: ``KEY=VALUE`` each, with or without ``dataset.`` before it.

    Raises:
        AvceError: the name or an option is wrong, or it is not a data set of image files.
    """
    known = {path.stem: path for path in (ROOT / "conf" / "dataset").glob("*.yaml")}
    if name not in known:
        raise AvceError(f"There is no data set {name}{nearest(name, known)}")
    section = yaml.safe_load(known[name].read_text())
    target = target_class(section, "dataset")
    if not issubclass(target, FileDataModule):
        raise AvceError(f"{name} is drawn, not read from files: there is nothing to check.")
    section["root"] = str(root)
    for option in options:
        key, equals, value = option.removeprefix("dataset.").partition("=")
        if not equals:
            raise AvceError(f"{option} is not an option; they are written KEY=VALUE, such as scale=10.")
        section[key] = yaml.safe_load(value)
    data: FileDataModule = build(section, "dataset", seed=0)
    return data
