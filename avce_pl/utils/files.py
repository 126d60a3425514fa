"""Files that are complete or absent, whatever interrupts their writing."""

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from avce_pl.errors import AvceError

_MARK = ".writing"


def expand_home(path: Path | str, instead: str) -> Path:
    """A path whose ``~`` is the home directory.

    Args:
        path: the path.
        instead: what to do where there is no home directory, for the message.

    Raises:
        AvceError: it begins with ``~``, and this user has no home directory, as in many containers.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise AvceError(
            f"{path} needs a home directory, and there is none for this user. Set the variable HOME, or {instead}."
        ) from None


def find_paths(argument: str) -> list[Path]:
    """The files and folders that an argument of a command means, in order; none where there are none.

    It is a path, with ``~`` or without, before it is a pattern such as ``clips/*.mp4``: names may hold brackets.
    """
    path = os.path.expanduser(argument)
    if os.path.lexists(path):
        return [Path(path)]
    return [Path(match) for match in sorted(glob.glob(path, recursive=True))]


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`; what was written there is synced to the disk and renamed to `path`.

    If the body raises, or the disk is full, the temporary file is deleted and what was at `path` stays as it was. The
    temporary name keeps the suffix, which many writers choose their format by.

    Raises:
        OSError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.stem}{_MARK}{os.getpid()}{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def atomic_write(path: Path, content: str | bytes | memoryview) -> None:
    """Writes a whole file, text as UTF-8; see `atomic_path`.

    Raises:
        OSError: the file cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def remove_leftovers(folder: Path) -> None:
    """Deletes what a killed process left behind of `atomic_path` in a folder that no other process writes to."""
    for path in folder.glob(f".*{_MARK}*"):
        path.unlink(missing_ok=True)
