"""Lists and files of labels as text, in the encodings that programs write."""

import codecs
from pathlib import Path
from typing import TextIO

from avce_pl.errors import AvceError

WINDOWS = "cp1252"
"""The encoding of Windows in western Europe and America, which older programs write."""

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_PART = 2**20  # bytes; a list may hold hundreds of megabytes


def find_encoding(path: Path) -> str:
    """The encoding of a text file: what its byte order mark says, UTF-8, or `WINDOWS` for all that is not UTF-8.

    Raises:
        AvceError: the file cannot be read.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            part = file.read(_PART)
            for mark, encoding in _MARKS.items():
                if part.startswith(mark):
                    return encoding
            while part:
                decoder.decode(part)
                part = file.read(_PART)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return WINDOWS
    except OSError as error:
        raise AvceError(f"{path} cannot be read: {error.strerror}.") from error
    return "utf-8"


def open_text(path: Path) -> TextIO:
    """Opens a text file in its encoding; a byte without a meaning is read as U+FFFD, every line end as a newline.

    Raises:
        AvceError: the file cannot be read.
    """
    return path.open(encoding=find_encoding(path), errors="replace")


def read_lines(path: Path) -> list[str]:
    """The lines of a text file without blanks at their ends; empty lines at the end of the file are left out.

    Raises:
        AvceError: the file cannot be read.
    """
    with open_text(path) as file:
        text = file.read().rstrip()
    return [line.strip() for line in text.split("\n")] if text else []
