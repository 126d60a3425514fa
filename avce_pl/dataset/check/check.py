"""Checks a data set of image files: what is there, what is wrong with it, and how its splits compare."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avce_pl.dataset.check.findings import (
    content_hashes,
    duplicate_findings,
    image_findings,
    shift_findings,
    split_findings,
)
from avce_pl.dataset.check.samples import Sample, draw_samples
from avce_pl.dataset.check.statistics import count_names, expected_counts, label_shifts, summarise, training_rows
from avce_pl.dataset.core.index import SPLITS
from avce_pl.dataset.core.split_protocol import Finding
from avce_pl.dataset.files.datamodule import FileDataModule
from avce_pl.dataset.files.other_names import name_findings
from avce_pl.errors import AvceError

MOST_LISTED = 1000
"""Findings of one kind that are listed; all are counted."""

_NOT_PREPARED = "not prepared"


@dataclass(frozen=True)
class CheckUp:
    """The result of a check.

    Attributes:
        record: The findings and figures, JSON-able; the keys are stable:

            - `dataset` and `protocol` (`name`, `description`, and `split_hash`, as a run on usable rows records it);
            - `clean`: whether there is no fault;
            - `splits`: split -> `rows`, `usable` (rows whose image can be trained on), `bad_images` (fault ->
              number), `subjects`, `videos`, `expressions` (name -> number), `valence` and `arousal` (`mean`, `sd`;
              absent where nothing is labelled), `plane` (label histogram, `plane[i][j]`: i-th bin of valence, j-th
              of arousal, both from -1 up), and `expected` (`rows`, `expressions` and `videos` of the real release, as
              far as they are known);
            - `total`: `rows`, `videos` and `expected` of all splits together;
            - `dropped`: rows left out by the reader: reason -> number;
            - `shifts`: list of `splits` (two names), `axis`, `difference` (of the means) and `distance` (largest
              difference of the cumulative distributions, 0 to 1);
            - `training`: what an epoch is drawn from: list of `name`, `rows`, `plane` (where rows have valence and
              arousal) and `expressions` (where they have any), for all rows, for those that `stride` and
              `frames_per_video` leave, and for each sampler;
            - `counts`: ``fault`` and ``note``: kind of finding -> number;
            - `findings`: list of `fault`, `kind`, `where`, `detail` and `rows` (how many it is
              about), faults first, at most `MOST_LISTED` of a kind.
        samples: Faces to look at.
    """

    record: dict[str, Any]
    samples: list[Sample]


def check(data: FileDataModule, name: str) -> CheckUp:
    """Reads the labels, examines every image and compares the splits, without the cache.

    Rows whose labels cannot be read are findings, and left out of the figures. Videos whose frames are not prepared
    yet are checked without pictures.

    Args:
        data: The data set.
        name: Its name in the record.

    Raises:
        AvceError: there is no such data set in the folder.
    """
    protocol = data.protocols[data.protocol]
    record: dict[str, Any] = {
        "dataset": name,
        "protocol": {"name": data.protocol, "description": protocol.description},
    }
    data.annotations()
    findings: list[Finding] = []
    try:
        findings += data.findings()
        reading = data.read()
    except AvceError as error:
        findings.append(Finding(True, "labels", "", str(error)))
        return CheckUp(record | _listed(findings), [])
    findings += reading.problems
    index = reading.index
    if data.unprepared:
        faults: NDArray[np.str_] = np.full(len(index.table), _NOT_PREPARED)
        findings.append(Finding(False, "not_prepared", "", data.unprepared))
    else:
        index, faults, renamed = data.examined(index)
        findings += image_findings(index, faults)
        findings += duplicate_findings(index, content_hashes(data.image_root, index.table, faults))
        findings += name_findings(renamed)
        findings += data.notes(index, faults)
    findings += split_findings(index, protocol)
    for why, count in index.dropped.items():
        findings.append(Finding(False, "left_out", reading.places.get(why, ""), f"Left out, {why}: {count:,}."))
    shifts = list(label_shifts(index))
    findings += shift_findings(shifts)
    usable = data.subsample(index.select(faults == ""))
    record["protocol"]["split_hash"] = usable.split_hash if len(usable.table) else ""
    record |= {
        "splits": {split: summarise(index, faults, split, protocol) for split in SPLITS if len(index.rows(split))},
        "total": {
            "rows": len(index.table),
            "videos": count_names(index.table, "video"),
            "expected": expected_counts(protocol, "all"),
        },
        "dropped": dict(index.dropped),
        "shifts": [shift.record for shift in shifts],
        "training": training_rows(data, index),
    }
    return CheckUp(record | _listed(findings), list(draw_samples(data, index, faults)))


def _listed(findings: Sequence[Finding]) -> dict[str, Any]:
    """`clean`, `counts` and `findings` of the record."""
    ordered = sorted(findings, key=lambda finding: (not finding.fault, finding.kind))
    listed = [f for _, kind in groupby(ordered, key=lambda f: (f.fault, f.kind)) for f in list(kind)[:MOST_LISTED]]
    return {
        "clean": not any(finding.fault for finding in findings),
        "counts": {
            "fault": dict(Counter(finding.kind for finding in ordered if finding.fault)),
            "note": dict(Counter(finding.kind for finding in ordered if not finding.fault)),
        },
        "findings": [asdict(finding) for finding in listed],
    }
