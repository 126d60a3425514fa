"""The split protocols of the data sets of ``conf/dataset``."""

from collections.abc import Mapping

from rich.table import Column, Table

from avce_pl.config.open_dataset import dataset_class, dataset_options
from avce_pl.dataset.core.index import SPLITS
from avce_pl.dataset.core.split_protocol import Protocol


def protocols() -> dict[str, Mapping[str, Protocol]]:
    """Option of the group ``dataset`` -> its protocols, for the data sets that are read from files."""
    readers = {name: dataset_class(name) for name in dataset_options()}
    return {name: reader.protocols for name, reader in readers.items() if hasattr(reader, "protocols")}


def protocol_table() -> Table:
    """Per protocol its name, what it is, and the rows (or videos) of the real release in each split."""
    known = protocols()
    longest = max(len(name) for named in known.values() for name in named)
    table = Table("dataset", Column("protocol", min_width=longest), box=None, pad_edge=False)
    for split in (*SPLITS, "all"):
        table.add_column(split, justify="right", no_wrap=True)
    for dataset, named in known.items():
        for name, protocol in named.items():
            counts = (_counts(protocol, split) for split in (*SPLITS, "all"))
            table.add_row(dataset, f"{name}\n[dim]{protocol.description}[/dim]", *counts)
    return table


def _counts(protocol: Protocol, split: str) -> str:
    """Rows, and videos below; – where neither is known."""
    lines = []
    for known, unit in ((protocol.rows, ""), (protocol.videos, " videos")):
        count = known.get(split, sum(known.values()) if split == "all" else 0)
        lines += [f"{count:,}{unit}"] if count else []
    return "\n".join(lines) or "–"
