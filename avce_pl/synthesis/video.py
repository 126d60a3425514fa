"""One person over time: feelings that come and go, and a face that is never quite still."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from avce_pl.synthesis.appearance import sample_identity
from avce_pl.synthesis.expression import ANCHORS, COLUMN, display
from avce_pl.synthesis.face import Face, FaceStyle
from avce_pl.synthesis.labels import classify
from avce_pl.synthesis.nuisance import Nuisance, sample_nuisance

Array = NDArray[np.float64]

AFF_WILD = FaceStyle(labels="aff_wild", level=1.0, au_noise=0.08, label_noise=0.08)
"""Videos in the wild, annotated by a human with a joystick."""

_EVENTS_PER_SECOND = 0.24
# How often an event heads for each anchor.
_PULL = {
    "happy": 4.6,
    "delighted": 1.5,
    "excited": 3.8,
    "surprised": 2.5,
    "alarmed": 0.7,
    "afraid": 1.0,
    "angry": 1.6,
    "disgusted": 0.8,
    "miserable": 0.6,
    "sad": 1.0,
    "bored": 0.8,
    "sleepy": 0.6,
    "calm": 0.8,
    "content": 1.0,
}


@dataclass(frozen=True, eq=False)
class Video:
    """A sequence of faces of one person.

    Attributes:
        seed: Which population.
        subject: Which person.
        rate: Frames per second.
        style: What the population looks like.
        feelings: Exact (valence, arousal) of every frame (T, 2).
        labels: What an annotator wrote down (T, 2), float32: the feelings with a slow drift.
        jitter: Noise on the action units (T, 16), standard deviation 1.
        blink: How far a blink has closed the eyes (T,).
        speech: How far speaking has opened the mouth (T,).
        pose: Yaw, pitch and roll (T, 3), radians.
        gaze: Direction of the eyes (T, 2).
        asymmetry: As in `Face`.
        nuisance: Light, camera and surroundings, the same in every frame.
    """

    seed: int
    subject: int
    rate: float
    style: FaceStyle
    feelings: Array
    labels: NDArray[np.float32]
    jitter: Array
    blink: Array
    speech: Array
    pose: Array
    gaze: Array
    asymmetry: float
    nuisance: Nuisance

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.feelings)

    def face(self, frame: int) -> Face:
        """The face in one frame, for `render`."""
        valence, arousal = self.feelings[frame].tolist()
        style = self.style
        shown = display(sample_identity(self.seed, self.subject), valence, arousal, style.express)
        shown = shown + style.au_noise * (0.4 + shown) * self.jitter[frame]
        shown[COLUMN[25]] += 0.55 * self.speech[frame]
        shown[COLUMN[26]] += 0.25 * self.speech[frame]
        shown[COLUMN[43]] = max(shown[COLUMN[43]], self.blink[frame])
        yaw, pitch, roll = self.pose[frame].tolist()
        gaze_x, gaze_y = self.gaze[frame].tolist()
        return Face(
            seed=self.seed,
            subject=self.subject,
            valence=valence,
            arousal=arousal,
            label=self.labels[frame],
            expression=classify(valence, arousal),
            intensities=np.clip(shown, 0, 1.2),
            asymmetry=self.asymmetry,
            nuisance=replace(
                self.nuisance,
                yaw=min(max(yaw, -0.6), 0.6),
                pitch=pitch,
                roll=roll,
                gaze=(gaze_x, gaze_y),
                grain=self.nuisance.grain + 7919 * frame,
            ),
            crop=style.crop,
        )


def _wander(rng: np.random.Generator, time: Array, frequency: float, channels: int) -> Array:
    """Smooth noise (T, channels) of standard deviation 1 about one frequency in hertz: a sum of six sines."""
    pitch = frequency * rng.uniform(0.4, 1.6, (6, channels))
    phase = rng.uniform(0, 2 * np.pi, (6, channels))
    waves: Array = np.sin(2 * np.pi * pitch * time[:, None, None] + phase).sum(axis=1)
    return waves / math.sqrt(3)


def _drift(rng: np.random.Generator, frames: int, rate: float) -> Array:
    """Noise (frames, 2) of standard deviation 1 whose power falls with 1/frequency up to 1 Hz, and is 0 beyond."""
    # At least eight seconds, so that a short clip sees a part of a slow wave and not always a whole one.
    length = max(2 * frames, int(8 * rate))
    frequency = np.fft.rfftfreq(length, 1 / rate)[1:, None]
    amplitude = np.where(frequency < 1, 1 / np.sqrt(frequency), 0)
    spectrum = amplitude * (rng.standard_normal((len(frequency), 2)) + 1j * rng.standard_normal((len(frequency), 2)))
    noise = np.fft.irfft(np.concatenate([np.zeros((1, 2)), spectrum]), length, axis=0)
    noise /= noise.std(axis=0)
    return noise[:frames]


def _sigmoid(x: Array) -> Array:
    """Logistic function, safe for any argument."""
    value: Array = 1 / (1 + np.exp(-np.clip(x, -30, 30)))
    return value


def _feelings(rng: np.random.Generator, time: Array) -> Array:
    """A mood that drifts, and Poisson events that pull towards a random anchor and let go again (T, 2)."""
    mood = rng.normal((0.04, 0.07), (0.10, 0.12))
    path = mood + 0.05 * _wander(rng, time, 0.05, 2)
    names, weights = list(_PULL), np.array(list(_PULL.values()))
    span = time[-1] + 6.0
    for start in np.sort(rng.uniform(-6.0, time[-1], rng.poisson(_EVENTS_PER_SECOND * span))):
        target = np.array(ANCHORS[names[int(rng.choice(len(names), p=weights / weights.sum()))]][0])
        target = rng.uniform(0.45, 1.0) * target + rng.normal(0, 0.06, 2)
        onset, hold, offset = rng.uniform(0.3, 1.2), rng.uniform(0.2, 2.0), rng.uniform(0.6, 2.5)
        # A logistic ramp does nine tenths of its way in about six of its time constants.
        rise = _sigmoid((time - start - onset / 2) * (6 / onset))
        fall = _sigmoid((time - start - onset - hold - offset / 2) * (6 / offset))
        path = path + (rise * (1 - fall))[:, None] * (target - path)
    radius = np.hypot(path[:, 0], path[:, 1])[:, None]
    return path / np.maximum(radius, 1.0)


def _blinks(rng: np.random.Generator, time: Array) -> Array:
    """How far blinks, about every four seconds, have closed the eyes (T,)."""
    closed = np.zeros_like(time)
    moment = rng.gamma(3.0, 1.3) * rng.random()
    while moment < time[-1]:
        closed = np.maximum(closed, np.exp(-(((time - moment) / rng.uniform(0.06, 0.10)) ** 2)))
        moment += 0.3 + rng.gamma(3.0, 1.2)
    return closed


def sample_video(seed: int, subject: int, frames: int, rate: float = 30.0, style: FaceStyle = AFF_WILD) -> Video:
    """A video of ``frames`` frames at ``rate`` per second, from ``default_rng([seed, subject, 0, 5])`` alone.

    Valence and arousal drift about a mood; events (onset .3-1.2 s, hold .2-2 s, offset .6-2.5 s) pull them towards
    random anchors. The head moves at .3-.5 Hz, action units tremble at 1 Hz, eyes blink, and some of the time the
    mouth speaks. Labels carry 1/f drift of standard deviation ``style.label_noise``; with the ``afew_va`` style they
    are rounded to tenths.
    """
    rng = np.random.default_rng([seed, subject, 0, 5])
    time = np.arange(frames) / rate
    feelings = _feelings(rng, time)
    labels = feelings + style.label_noise * _drift(rng, frames, rate)
    if style.labels == "afew_va":
        labels = np.round(labels, 1)
    nuisance = sample_nuisance(rng, style.level)
    speaking = np.clip(1.4 * _wander(rng, time, 0.12, 1)[:, 0] - 0.5, 0, 1)
    syllables = np.abs(np.sin(2 * np.pi * 1.9 * time + 1.5 * _wander(rng, time, 0.7, 1)[:, 0]))
    middle = np.array([nuisance.yaw, nuisance.pitch, nuisance.roll])
    sway = 0.55 * style.level * np.array([0.24, 0.13, 0.10])
    return Video(
        seed=seed,
        subject=subject,
        rate=rate,
        style=style,
        feelings=feelings,
        labels=np.clip(labels, -1, 1).astype(np.float32),
        jitter=_wander(rng, time, 1.0, 16),
        blink=_blinks(rng, time),
        speech=speaking * syllables,
        pose=0.7 * middle + sway * _wander(rng, time, 0.4, 3),
        gaze=style.level * np.array([0.40, 0.22]) * _wander(rng, time, 0.5, 2),
        asymmetry=0.15 * float(rng.standard_normal()),
        nuisance=nuisance,
    )
