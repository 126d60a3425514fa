"""Maps and latents of some test faces of a run, computed with its model and kept as arrays in its folder."""

import zipfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from avce_pl.utils.files import atomic_path


@dataclass(frozen=True, eq=False)
class Explanation:
    """Maps and latents of N faces.

    Attributes:
        digest: of the run, and the version of the computation.
        rows: (N,) rows of the data set's index.
        outputs: (K,) names of what the maps explain, such as "R valence".
        values: (N, K) float32, these outputs.
        maps: (N, K, h, w) float32, non-negative: Grad-CAM at the encoder's last feature maps.
        latent: (N, d) float32, z.
        support: (N,) number of coordinates of the sparse feature that are not 0; 0 without a head H.
        regions: (R,) names of parts of the face; none where the data set gives no landmarks.
        shares: (N, K, R) share of each map on each part, NaN for a map of zeros.
        areas: (N, R) share of the picture that each part takes, which is the share of a uniform map.
        images: (N, S, S, 3) uint8 RGB, what the network saw; (0, S, S, 3) where they were not requested.
    """

    digest: str
    rows: NDArray[np.int64]
    outputs: NDArray[np.str_]
    values: NDArray[np.float32]
    maps: NDArray[np.float32]
    latent: NDArray[np.float32]
    support: NDArray[np.int64]
    regions: NDArray[np.str_]
    shares: NDArray[np.float64]
    areas: NDArray[np.float64]
    images: NDArray[np.uint8]

    def map_of(self, output: str) -> NDArray[np.float32]:
        """The maps (N, h, w) of one of `outputs`."""
        return self.maps[:, self.column(output)]

    def column(self, output: str) -> int:
        """The position of one of `outputs`."""
        return int(np.flatnonzero(self.outputs == output)[0])

    def save(self, path: Path) -> None:
        """Writes the arrays atomically.

        Raises:
            OSError: the file cannot be written.
        """
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **asdict(self))

    @classmethod
    def load(cls, path: Path, digest: str, rows: NDArray[np.int64]) -> Self | None:
        """Opens a file of `save`; None where it is not of this run and these rows, or cannot be read."""
        try:
            with path.open("rb") as file, np.load(file) as kept:
                arrays: dict[str, Any] = {field.name: kept[field.name] for field in fields(cls)}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        arrays["digest"] = str(arrays["digest"])
        found = cls(**arrays)
        return found if found.digest == digest and np.array_equal(found.rows, rows) else None
