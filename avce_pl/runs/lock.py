"""One process at a time in a run folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from avce_pl.errors import AvceError


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keeps other processes out of a run folder, which exists.

    Raises:
        AvceError: another process is in it, or the folder cannot be written.
    """
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise AvceError(
            f"Another process is working in {folder}. Wait for it, or give this run its own name=..."
        ) from None
    except OSError as error:
        raise AvceError(
            f"The run folder {folder} cannot be written: {error.strerror}. Give another output_root=..."
        ) from error
    try:
        yield
    finally:
        lock.release()
