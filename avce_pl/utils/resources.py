"""Where the files that are not Python lie, in a checkout and in an installed wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).parent.parent
ROOT = _PACKAGE.parent if (_PACKAGE.parent / "conf" / "config.yaml").is_file() else _PACKAGE
"""Folder of ``conf/`` and ``experiments/``."""

TRAIN = "python run.py" if (ROOT / "run.py").is_file() else "avce train"
"""The command that trains: in a checkout, and in an installed wheel."""
