"""Turns what went wrong on the command line of ``run.py`` into a sentence."""

import re
import sys
import traceback
from pathlib import Path

import yaml

from avce_pl.errors import AvceError
from avce_pl.utils.resources import ROOT, TRAIN

CONF = ROOT / "conf"


HELP = """AVCE-PL: train and evaluate valence/arousal models.

Groups and their options (conf/<group>/<option>.yaml):
{groups}

Choose with group=option, change with group.key=value, sweep with -m and commas:
  {command} dataset=csv root=/data/faces
  {command} -m backbone=r18,al mining=none,debiased,hard seed=0,1,2
{command} --cfg job prints the configuration; --hydra-help lists Hydra's own options."""


KNOWN = {  # part of a library's message: what to do about it
    "torchvision::nms": "torch and torchvision do not belong together (torchvision's operators cannot be loaded). "
    "Install the pair of one index again with `make setup`, and see `avce doctor`.",
    'Could not detect "srun"': "hydra/launcher=submitit_slurm needs a Slurm cluster, and there is no srun here. "
    "hydra/launcher=joblib and submitit_local run the rows on this machine.",
}


def help_text() -> str:
    """What ``run.py --help`` prints: Hydra's own listing of the groups takes as long as half an ``import torch``."""
    groups = "\n".join(f"{name}: {', '.join(sorted(options))}" for name, options in _groups().items())
    return HELP.format(groups=groups, command=TRAIN)


def explain(error: Exception, arguments: list[str]) -> int:
    """Prints an error for the user and returns the exit code.

    An `AvceError`, a mistake in an override and the errors of `KNOWN` are printed as sentences; anything else keeps
    its traceback.
    """
    sentence = _sentence(error, arguments)
    if sentence is None:
        traceback.print_exception(error)
    else:
        print(f"\nError: {sentence}", file=sys.stderr)
    return error.exit_code if isinstance(error, AvceError) else 1


def _sentence(error: Exception, arguments: list[str]) -> str | None:
    if isinstance(error, AvceError):
        # a loading process hands its error over wrapped in its traceback; the sentence stands at the end
        return str(error).rpartition("avce_pl.errors.AvceError: ")[2].strip()
    for part, sentence in KNOWN.items():
        if part in str(error):
            return sentence
    if type(error).__module__.startswith(("hydra", "omegaconf")):
        sentences = [s for s in (_check_override(argument, str(error)) for argument in arguments) if s]
        return " ".join(sentences) or " ".join(f"{error} {error.__cause__ or ''}".split())
    return None


def _check_override(argument: str, message: str) -> str | None:
    """A sentence about an override whose key or option does not exist, or not in what was chosen; else ``None``."""
    from avce_pl.utils.text import nearest

    match = re.fullmatch(r"[+~]{0,2}([\w./@]+)=(.*)", argument)
    if match is None:
        return None
    key, value = match[1], match[2]
    groups = _groups()
    if key in groups:
        wrong = [option for option in (value or "").split(",") if option and option not in groups[key]]
        return f"{key}={wrong[0]}: there is no such option{nearest(wrong[0], groups[key])}" if wrong else None
    if key.startswith("hydra"):
        return None
    owners: dict[str, list[str]] = {}  # key of a group -> the options that have it
    for group, options in groups.items():
        for option in sorted(options):
            for name in _keys(CONF / group / f"{option}.yaml"):
                owners.setdefault(f"{group}.{name}", []).append(f"{group}={option}")
    known = {*groups, *owners, *_keys(CONF / "config.yaml")} - {"defaults", "hydra"}
    if key not in known:
        return f"{key} is not a setting{nearest(key, known)}"
    if f"override '{key}'" not in message:
        return None
    # Hydra looks at what does not vary before it looks at the rows, where the group still has its default option
    group = key.partition(".")[0]
    return (
        f"Only {' and '.join(owners[key])} have {key}. Choose one of them; in a sweep over {group}, write ++{argument}."
    )


def _groups() -> dict[str, set[str]]:
    """Group -> its options."""
    folders = sorted(path for path in CONF.iterdir() if path.is_dir() and path.name != "hydra")
    return {path.name: {option.stem for option in path.glob("*.yaml")} for path in folders}


def _keys(file: Path) -> set[str]:
    return set(yaml.safe_load(file.read_text()) or {})
