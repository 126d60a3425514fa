"""What several commands do with their arguments."""

from pathlib import Path

from avce_pl.errors import AvceError


def parse_numbers(text: str | None, option: str) -> list[int]:
    """Whole numbers with commas between them; none for an option that was not given.

    Raises:
        AvceError: names the option.
    """
    try:
        return [int(number) for number in text.split(",")] if text else []
    except ValueError:
        raise AvceError(f"{option} {text}: give whole numbers with commas, such as 0,1,2.") from None


def require_writable(folder: Path) -> None:
    """Makes a folder that results are to be written to.

    Raises:
        AvceError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AvceError(f"{folder} cannot be written: {error.strerror}. Choose another folder.") from None
