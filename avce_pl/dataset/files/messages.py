"""Errors about data sets of files, with the first of what is wrong."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from avce_pl.dataset.core.split_protocol import Finding
from avce_pl.errors import AvceError

_LISTED = 20


def wrong_labels(root: Path, problems: Sequence[Finding], images: Sequence[str] = ()) -> AvceError:
    """The error that labels are wrong.

    Args:
        root: Folder of the data set.
        problems: What is wrong with the labels.
        images: Path and fault of each image that cannot be used, so that all faults are known at once.
    """
    lines = _first([f"{problem.where}: {problem.detail}" for problem in problems])
    more = f"\n{len(images)} images cannot be used either:\n{_first(images)}" if images else ""
    return AvceError(
        f"The labels in {root} are not what they should be:\n{lines}\nFix or remove these files, unpack them again, or "
        f"train without these rows: dataset.on_bad_label=skip.{more}"
    )


def unusable_images(root: Path, faults: Iterable[tuple[str, str]], listed: Path) -> AvceError:
    """The error that images cannot be trained on.

    Args:
        root: Folder of the images.
        faults: Path and fault of each.
        listed: File that lists them all.
    """
    lines = [f"{path}: {fault}" for path, fault in faults]
    return AvceError(
        f"{len(lines)} images under {root} cannot be used:\n{_first(lines, f', all in {listed}')}\n"
        "Repair them, remove them from the list, or train without them: dataset.on_bad_image=skip."
    )


def _first(lines: Sequence[str], source: str = "") -> str:
    more = [f"and {len(lines) - _LISTED} more{source}"] if len(lines) > _LISTED else []
    return "\n".join(f"  {line}" for line in [*lines[:_LISTED], *more])
