from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from avce_pl.synthesis.renderer import render
from avce_pl.synthesis.video import AFF_WILD, sample_video

Boxes = list[tuple[float, float, float, float] | None]


@pytest.fixture(scope="session")
def film() -> Callable[..., Boxes]:
    """Writes a real MP4 of a person; returns the true boxes, None where the camera sees an empty room."""

    def write(path: Path, subject: int = 1, frames: int = 8, empty: Sequence[int] = (), size: int = 160) -> Boxes:
        video = sample_video(5, subject, frames, style=replace(AFF_WILD, level=0.3, crop=0.6))
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (size * 3 // 2, size))
        boxes: Boxes = []
        for frame in range(frames):
            image: NDArray[np.uint8] = np.full((size, size * 3 // 2, 3), 90, np.uint8)
            drawn = render(video.face(frame), size)
            x = 10 + 3 * frame
            if frame not in empty:
                image[:, x : x + size] = drawn.image[:, : image.shape[1] - x]
            left, *others = drawn.box
            boxes.append(None if frame in empty else (left + x, *others))  # type: ignore[arg-type]
            writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        writer.release()
        return boxes

    return write
