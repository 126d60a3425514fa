"""Augmentation and normalisation: from the stored image to the network's input."""

import functools
import os
import random

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Augmentation:
    """Random crop, horizontal flip (released code) and optional colour jitter; or the centre crop.

    All in albumentations, on uint8. Every draw depends on (seed, epoch, row) alone, not on the process or the
    order in which images come, so any number of workers, and a run that was interrupted, gives the same
    images.

    Args:
        size: Side of the crop, in pixels.
        train: False: the centre crop, nothing random.
        colour_jitter: Largest relative change of brightness, contrast and saturation; the hue moves by at
            most a tenth of it. 0 is off.
        seed: The run's seed.
    """

    def __init__(self, size: int, train: bool, colour_jitter: float = 0.0, seed: int = 0) -> None:
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it looks for a newer version on the network on import
        import albumentations  # here, not above: `run.py --help` need not wait half a second

        steps: list[albumentations.BasicTransform] = []
        if train:
            steps += [albumentations.RandomCrop(size, size), albumentations.HorizontalFlip(p=0.5)]
            if colour_jitter:
                spread = (1 - colour_jitter, 1 + colour_jitter)
                hue = (-colour_jitter / 10, colour_jitter / 10)
                steps += [albumentations.ColorJitter(spread, spread, spread, hue, p=1.0)]
        else:
            steps += [albumentations.CenterCrop(size, size)]
        self._pipeline = albumentations.Compose(steps)
        self.size = size
        self.seed = seed
        # One pair of generators for all steps. `set_random_seed` would give each step its own with the same seed, so
        # that where the crop lies decides whether the image is flipped; and it takes four times as long.
        self._python = random.Random()
        self._philox = np.random.Philox(key=0)
        self._start = self._philox.state
        self._pipeline.set_random_state(np.random.Generator(self._philox), self._python)

    def __call__(self, image: NDArray[np.uint8], epoch: int, row: int) -> NDArray[np.uint8]:
        """(side, side, 3) uint8 -> (size, size, 3) uint8."""
        self._python.seed(f"{self.seed}/{epoch}/{row}")
        self._start["state"]["key"][:] = (self.seed << 32) + epoch, row
        self._philox.state = self._start
        augmented: NDArray[np.uint8] = self._pipeline(image=image)["image"]
        return augmented


def normalise(image: Tensor) -> Tensor:
    """(N, 3, H, W) uint8 RGB -> float32 with ImageNet's mean and standard deviation taken out."""
    mean, std = _statistics(image.device)
    return image.float().sub_(mean).div_(std)


@functools.cache
def _statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    mean, std = (torch.tensor(values, device=device).mul(255).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return mean, std
