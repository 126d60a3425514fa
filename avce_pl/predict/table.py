"""The table of predictions: CSV or JSON lines, complete rows at any moment, resumable after kill -9."""

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from avce_pl.errors import AvceError
from avce_pl.utils.files import atomic_write

Row = Mapping[str, Any]

QUADRANTS = {
    (True, True): "excited or happy",
    (False, True): "angry or afraid",
    (False, False): "sad or bored",
    (True, False): "calm or content",
}
"""Valence and arousal positive or not -> a common name of that quarter of the plane; a heuristic, no measurement."""


def columns(smooth: float, quadrants: bool) -> list[str]:
    """The columns of the table; what was smoothed says so, with the time constant."""
    names = ["file", "frame", "time_seconds", "face", "status", "valence", "arousal"]
    if smooth:
        names += [f"valence_smoothed_{smooth:g}s", f"arousal_smoothed_{smooth:g}s"]
    if quadrants:
        names.append("quadrant_heuristic")
    return [*names, "box_x", "box_y", "box_width", "box_height", "detector", "detection_confidence"]


class Printed:
    """A table on standard output."""

    def __init__(self, names: Sequence[str], stream: IO[str]) -> None:
        self.names = list(names)
        self.state: dict[str, Any] | None = None
        self.position = 0
        self._stream = stream
        self._writer = csv.DictWriter(stream, names)
        self._writer.writeheader()

    def write(self, rows: Sequence[Row]) -> None:
        """Prints rows."""
        self._writer.writerows(rows)
        self._stream.flush()

    def checkpoint(self, state: Mapping[str, Any]) -> None:
        """Nothing: what is printed cannot be taken up again."""

    def complete(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


class TableFile:
    """A table in a file, ``.csv`` or ``.jsonl``. It has its name when it is complete; before, it ends in ``.part``.

    Attributes:
        state: what the last checkpoint of an interrupted command said; ``None`` at the beginning.
        position: bytes written so far.
    """

    def __init__(self, path: Path, names: Sequence[str], request: str) -> None:
        """Opens the table, or takes it up where an interrupted command left it.

        Args:
            path: the table's file.
            names: its columns.
            request: identifies all that decides the rows; rows of another request are not continued.

        Raises:
            AvceError: the table is there already, belongs to another command, or cannot be written.
        """
        self.path = path
        self.names = list(names)
        self.lines = path.suffix.lower() in (".jsonl", ".ndjson")
        self.request = request
        if not self.lines and path.suffix.lower() != ".csv":
            raise AvceError(f"--out {path}: give a name that ends in .csv or .jsonl.")
        if path.exists():
            raise AvceError(f"{path} is there already. Give another --out, or delete it.")
        self._part = path.with_name(path.name + ".part")
        self._state_file = path.with_name(path.name + ".state")
        self._lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            self._file = self._part.open("a+b")
        except Timeout:
            raise AvceError(f"Another process is writing {path}. Wait for it, or give another --out.") from None
        except OSError as error:
            self._unlock()
            raise AvceError(f"{path} cannot be written: {error.strerror}. Give another --out.") from error
        try:
            self.state = self._read_state()
        except AvceError:
            self.close()
            raise
        self._file.truncate(self.state["bytes"] if self.state else 0)
        self._file.seek(0, os.SEEK_END)
        self.position = self._file.tell()
        if not self.position and not self.lines:
            self._append((",".join(self.names) + "\r\n").encode())

    def write(self, rows: Sequence[Row]) -> None:
        """Appends rows."""
        text = io.StringIO(newline="")
        if self.lines:
            for row in rows:
                text.write(json.dumps(row, ensure_ascii=False) + "\n")
        else:
            csv.DictWriter(text, self.names).writerows(rows)
        self._append(text.getvalue().encode(errors="backslashreplace"))  # names of files need not be UTF-8

    def read(self, start: int) -> Iterator[dict[str, Any]]:
        """The rows from a position on, as far as the checkpoint; numbers of a CSV as text."""
        lines = self._lines(start)
        yield from map(json.loads, lines) if self.lines else csv.DictReader(lines, self.names)

    def checkpoint(self, state: Mapping[str, Any]) -> None:
        """Puts the rows so far on the disk, and then the state."""
        self._file.flush()
        os.fsync(self._file.fileno())
        atomic_write(self._state_file, json.dumps({**state, "request": self.request, "bytes": self.position}))

    def complete(self) -> None:
        """Gives the complete table its name."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._part.rename(self.path)
        self._state_file.unlink(missing_ok=True)

    def close(self) -> None:
        """Closes the file, so that other processes may write it."""
        self._file.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock.is_locked:
            self._lock.release()
            Path(self._lock.lock_file).unlink(missing_ok=True)

    def _lines(self, start: int) -> Iterator[str]:
        with self._part.open("rb") as file:
            file.seek(start)
            while file.tell() < self.position:
                yield file.readline().decode()

    def _append(self, data: bytes) -> None:
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise AvceError(
                f"{self._part} cannot be written: {error.strerror}. Make room, then run the same command again to "
                "resume."
            ) from error
        self.position += len(data)

    def _read_state(self) -> dict[str, Any] | None:
        again = f"Delete {self._part} and {self._state_file} to start again."
        try:
            state = dict[str, Any](json.loads(self._state_file.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            raise AvceError(f"{self._state_file} is damaged. {again}") from None
        if state.get("request") != self.request:
            raise AvceError(
                f"{self._part} was begun by a command with other files, model or options. Repeat that command to go "
                f"on with it, delete it and {self._state_file.name}, or give another --out."
            )
        if self._part.stat().st_size < state["bytes"]:
            raise AvceError(f"{self._part} has lost rows that were in it. {again}")
        return state
