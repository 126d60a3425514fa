"""Writing the files that a command makes for its user."""

from pathlib import Path

from avce_pl.errors import AvceError
from avce_pl.utils.files import atomic_write


def write_output(path: Path, content: str | bytes) -> Path:
    """Writes a file atomically, text as UTF-8, and returns its path.

    Raises:
        AvceError: it cannot be written.
    """
    try:
        atomic_write(path, content)
    except OSError as error:
        raise AvceError(f"{path} cannot be written: {error.strerror}. Choose another file or folder.") from None
    return path
