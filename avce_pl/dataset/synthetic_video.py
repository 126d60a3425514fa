"""Procedural videos in the style of Aff-Wild as a data set: one person in each, nobody in two splits."""

from dataclasses import dataclass
from typing import Annotated, Any, Unpack

from pydantic import Field

from avce_pl.dataset.core.datamodule import FaceOptions, Positive, Seed
from avce_pl.dataset.synthetic import NonNegative, People, ProceduralDataModule
from avce_pl.synthesis import Face, FaceStyle, sample_video


@dataclass(frozen=True)
class VideoFrames(People):
    """The frames of one video of each person, `rate` per second."""

    rate: float

    def sample(self, subject: int) -> list[Face]:
        """All frames of one person's video."""
        video = sample_video(self.population, subject, self.faces, self.rate, self.style)
        return [video.face(frame) for frame in range(self.faces)]

    def columns(self, subject: int) -> dict[str, Any]:
        """The subject, the video, named after the subject, and the frames."""
        return {"subject": subject, "video": f"{subject:06d}", "frame": range(self.faces)}


class SyntheticVideoDataModule(ProceduralDataModule):
    """Frames of procedural videos in the style of Aff-Wild, see `ProceduralDataModule`.

    Valence and arousal drift and are pulled away by events; the annotation drifts too (see `sample_video`).

    Args:
        train_videos: Videos, and people, in the training split.
        val_videos: Other people, for validation.
        test_videos: Yet others, for the test.
        frames_per_video: Frames of each.
        rate: Frames per second; 1 is what is left of 30 after taking every 30th.
        population: Seed of the people and their videos; another one is another data set. The run's seed does
            not change the data.
        level: Strength of pose, light and other nuisances, 0 to 1, see `FaceStyle`, as the next four.
        crop: Zoom; 1.3 is hairline to chin.
        express: How strongly people show what they feel.
        au_noise: Noise on the facial action units.
        label_noise: Standard deviation of the annotator's drift.
        options: See `ProceduralDataModule`.
    """

    protocol = "synthetic_video"

    def __init__(
        self,
        train_videos: Positive = 120,
        val_videos: Positive = 30,
        test_videos: Positive = 40,
        frames_per_video: Positive = 40,
        rate: Annotated[float, Field(gt=0)] = 1.0,
        population: Seed = 0,
        level: Annotated[float, Field(ge=0, le=1)] = 0.35,
        crop: Annotated[float, Field(gt=0)] = 1.3,
        express: NonNegative = 1.0,
        au_noise: NonNegative = 0.08,
        label_noise: NonNegative = 0.08,
        **options: Unpack[FaceOptions],
    ) -> None:
        subjects = {"train": train_videos, "val": val_videos, "test": test_videos}
        style = FaceStyle("aff_wild", level, crop, express, au_noise, label_noise)
        super().__init__(subjects, VideoFrames(population, frames_per_video, style, rate), **options)
