"""What a model expects of a face and gives back; the same for run folders and ONNX files."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

from avce_pl.errors import AvceError

CHANNEL_ORDER = "RGB"
LABEL_ORDER = ("valence", "arousal")
INPUT = "faces"
OUTPUT = "valence_arousal"
DEFAULT_MARGIN = 0.3  # that of `avce data prepare`, and what procedural faces show around a detector's box
_KEY = "avce_pl"


@dataclass(frozen=True)
class Specification:
    """How faces have to be cropped for a model, and where it comes from.

    Attributes:
        image_size: side of the square that the network sees, in pixels.
        resize_size: side that the crop around a face is resized to; the model itself cuts its centre out.
        margin: what the crop adds to the face box, see `avce_pl.image.crop.crop_face`.
        digest: of the run, as in its ``metrics.json``.
    """

    image_size: int
    resize_size: int
    margin: float
    digest: str

    def to_metadata(self) -> dict[str, str]:
        """The metadata of an ONNX file: one JSON text for programs, and plain entries for people."""
        side = self.resize_size
        return {
            _KEY: json.dumps(asdict(self)),
            "input": f"{INPUT}: uint8, (N, {side}, {side}, 3), {CHANNEL_ORDER}; neither normalised nor centre-cropped",
            "face_crop": f"square around the face box, margin {self.margin}, resized with antialiasing to {side} px",
            "image_size": str(self.image_size),
            "resize_size": str(self.resize_size),
            "margin": str(self.margin),
            "channel_order": CHANNEL_ORDER,
            "output": f"{OUTPUT}: float32, (N, 2)",
            "label_order": ", ".join(LABEL_ORDER),
            "label_range": "-1 (unpleasant, calm) to 1 (pleasant, excited); not clipped",
            "digest": self.digest,
            "licence": "The weights inherit the licence of the data they were trained on; see the run's MODEL_CARD.md.",
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], file: str) -> Self:
        """Reads what `to_metadata` wrote.

        Raises:
            AvceError: the file was not written by ``avce export``.
        """
        try:
            return cls(**json.loads(metadata[_KEY]))
        except (KeyError, TypeError, ValueError):
            raise AvceError(
                f"{file} does not say how faces have to be cropped for it. Give a file that `avce export` wrote."
            ) from None
