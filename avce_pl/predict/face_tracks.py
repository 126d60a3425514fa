"""Which faces of a video are the same face, and their smoothed valence and arousal."""

import math
from dataclasses import dataclass

from avce_pl.face.detection import overlap
from avce_pl.image.crop import Box

_OVERLAP = 0.3
_FORGOTTEN = 1.0


@dataclass
class Track:
    """One face over time.

    Attributes:
        number: counted from 0 in the order of appearance.
        box: where it was last.
        time: when it was there, in seconds.
        valence: smoothed.
        arousal: smoothed.
    """

    number: int
    box: Box
    time: float
    valence: float
    arousal: float


class Tracker:
    """Follows faces by the overlap of their boxes (intersection over union of 0.3 or more, at most 1 s apart).

    Smoothing is exponential: s += (1 - exp(-dt / time constant)) (x - s). It looks back only, so it lags by about the
    time constant, and works on a camera.

    Args:
        seconds: the time constant of the smoothing; 0 for none.
        tracks: the tracks to continue.
        seen: how many faces there were before.
    """

    def __init__(self, seconds: float, tracks: list[Track] | None = None, seen: int = 0) -> None:
        self.seconds = seconds
        self.tracks = tracks or []
        self.seen = seen

    def follow(self, boxes: list[Box], time: float) -> list[Track | None]:
        """Known tracks of the boxes of the next frame, ``None`` for faces that are new."""
        self.tracks = [track for track in self.tracks if time - track.time <= _FORGOTTEN]
        pairs = [(overlap(track.box, box), t, b) for t, track in enumerate(self.tracks) for b, box in enumerate(boxes)]
        found: list[Track | None] = [None] * len(boxes)
        taken: set[int] = set()
        for shared, t, b in sorted(pairs, key=lambda pair: -pair[0]):
            if shared >= _OVERLAP and t not in taken and found[b] is None:
                found[b] = self.tracks[t]
                taken.add(t)
        return found

    def update(self, track: Track | None, box: Box, time: float, valence: float, arousal: float) -> Track:
        """Moves a track on to a frame; begins a new one for ``None``."""
        if track is None:
            track = Track(self.seen, box, time, valence, arousal)
            self.seen += 1
            self.tracks.append(track)
            return track
        share = 1 - math.exp(-(time - track.time) / self.seconds) if self.seconds else 1.0
        track.valence += share * (valence - track.valence)
        track.arousal += share * (arousal - track.arousal)
        track.box, track.time = box, time
        return track
