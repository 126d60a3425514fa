"""One face: who, what they feel, what they show, and the circumstances; everything `render` needs."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from avce_pl.synthesis.appearance import Identity, sample_identity
from avce_pl.synthesis.expression import COLUMN, action_units, display
from avce_pl.synthesis.labels import LabelStyle, classify, sample_labels
from avce_pl.synthesis.nuisance import Nuisance, sample_nuisance


@dataclass(frozen=True)
class FaceStyle:
    """What a population of pictures looks like.

    Attributes:
        labels: Which label mixture the feelings come from.
        level: Strength of the nuisances, 0 (studio) to 1 (in the wild).
        crop: Zoom; 1.0 shows the whole head, 1.3 is hairline to chin, like a detector's crop.
        express: How strongly people show what they feel.
        au_noise: Standard deviation of the noise on the action units.
        label_noise: Standard deviation of the annotator's jitter on the labels, which stay within [-1, 1].
    """

    labels: LabelStyle = "affectnet"
    level: float = 0.7
    crop: float = 1.3
    express: float = 1.0
    au_noise: float = 0.06
    label_noise: float = 0.06


@dataclass(frozen=True, eq=False)
class Face:
    """One face, small enough to pickle and to keep by the thousand; `render` turns it into a picture.

    Attributes:
        seed: Which population.
        subject: Which person.
        valence: The exact valence, [-1, 1].
        arousal: The exact arousal, [-1, 1].
        label: What an annotator wrote down: (valence, arousal), float32.
        expression: AffectNet code of the class, see `labels.EXPRESSIONS`.
        intensities: Action units shown (16,), in the order of `expression.ACTION_UNITS`.
        asymmetry: Share by which the image-right half shows more than the mean.
        nuisance: The circumstances.
        crop: Zoom, see `FaceStyle`.
    """

    seed: int
    subject: int
    valence: float
    arousal: float
    label: NDArray[np.float32]
    expression: int
    intensities: NDArray[np.float64]
    asymmetry: float = 0.0
    nuisance: Nuisance = field(default_factory=Nuisance)
    crop: float = 1.3

    @property
    def identity(self) -> Identity:
        """Who it is."""
        return sample_identity(self.seed, self.subject)

    @classmethod
    def at(
        cls,
        seed: int,
        subject: int,
        valence: float,
        arousal: float,
        nuisance: Nuisance | None = None,
        crop: float = 1.1,
    ) -> "Face":
        """The textbook display of (valence, arousal) by one person, without personal habits or any noise."""
        return cls(
            seed=seed,
            subject=subject,
            valence=valence,
            arousal=arousal,
            label=np.array([valence, arousal], dtype=np.float32),
            expression=classify(valence, arousal),
            intensities=action_units(valence, arousal),
            nuisance=nuisance or Nuisance(),
            crop=crop,
        )


def sample_face(seed: int, subject: int, index: int, style: FaceStyle = FaceStyle()) -> Face:
    """Picture number ``index`` of person ``subject`` in population ``seed``.

    The person depends on ``default_rng([seed, subject])``, the rest on ``default_rng([seed, subject, index + 1])``,
    so every face can be made alone, in any order, in any process. (NumPy pads seeds with zeros: with ``index`` as it
    is, picture 0 would repeat the numbers that made the person.)

    On top of the person's own `display` come noise on the action units, in 8 % of the pictures a mouth that speaks,
    in 3 % a blink, and some asymmetry. None of it touches the exact valence and arousal.
    """
    rng = np.random.default_rng([seed, subject, index + 1])
    valence, arousal = sample_labels(rng, style.labels)
    intensities = display(sample_identity(seed, subject), valence, arousal, style.express)
    intensities += style.au_noise * (0.4 + intensities) * rng.standard_normal(len(intensities))
    speech, blink, amount, jaw = rng.random(4).tolist()
    if speech < 0.08:
        intensities[COLUMN[25]] += 0.2 + 0.5 * amount
        intensities[COLUMN[26]] += 0.35 * jaw
    if blink < 0.03:
        intensities[COLUMN[43]] = max(intensities[COLUMN[43]], 0.6 + 0.4 * amount)
    asymmetry = 0.22 * min(max(rng.standard_normal(), -2.2), 2.2)
    label = np.array([valence, arousal]) + style.label_noise * rng.standard_normal(2)
    if style.labels == "afew_va":
        label = np.round(label, 1)
    return Face(
        seed=seed,
        subject=subject,
        valence=valence,
        arousal=arousal,
        label=np.minimum(np.maximum(label, -1), 1).astype(np.float32),
        expression=classify(valence, arousal),
        intensities=np.minimum(np.maximum(intensities, 0), 1.2),
        asymmetry=asymmetry,
        nuisance=sample_nuisance(rng, style.level),
        crop=style.crop,
    )
