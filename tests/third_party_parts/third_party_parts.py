"""A stranger's sampler, autoencoder and data set in one module: what each has to have, and nothing else."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from rpe2d_bench.autoencoders import LatentSpace
from rpe2d_bench.diffusion import Solver
from rpe2d_bench.errors import UserError


def midpoint(velocity: Callable[[Tensor, float], Tensor], x: Tensor, ts: list[float]) -> Iterator[Tensor]:
    """The midpoint rule: two evaluations a step."""
    for t, t_next in pairwise(ts):
        half = (t + t_next) / 2
        x = x + (t_next - t) * velocity(x + (half - t) * velocity(x, t), half)
        yield x


@dataclass(frozen=True)
class Unshuffled:
    """Pixels of a square as channels, which loses nothing."""

    side: int = 2  # pixels of a square's side

    def check(self) -> None:
        if self.side < 1:
            raise UserError(f"autoencoder.side must be at least 1, not {self.side}")

    def describe(self) -> LatentSpace:
        return LatentSpace(self, f"unshuffled-v1-{self.side}", self.side, 3 * self.side**2, windows=1, flops=(0.0, 3.0))

    def load(self, device: str) -> "Shuffling":
        return Shuffling(self.side)


class Shuffling:
    def __init__(self, side: int) -> None:
        self.downsampling, self.channels = side, 3 * side**2

    def encode(self, images_BCYX: Tensor) -> Tensor:
        return F.pixel_unshuffle(images_BCYX * 2 - 1, self.downsampling)

    def decode(self, latents_BLyx: Tensor) -> Tensor:
        return (F.pixel_shuffle(latents_BLyx, self.downsampling) + 1) / 2


@dataclass(frozen=True)
class Stripes:
    """Stripes along one axis or the other, which are the two classes."""

    period: int = 8  # stripes of an image

    def check(self) -> None:
        if self.period < 1:
            raise UserError(f"data.period must be at least 1, not {self.period}")

    def build(self) -> "StripedImages":
        return StripedImages(self.period)


class StripedImages:
    num_classes, class_names, channels = 2, ("0", "1"), 3

    def __init__(self, period: int) -> None:
        self._period, self.revision = period, f"stripes-v1-{period}"

    def size(self, split: str) -> int | None:
        return None

    def labels(self, split: str, indices: np.ndarray) -> np.ndarray:
        return indices.astype(np.int64) % 2

    def images(self, split: str, indices: np.ndarray, resolution: tuple[int, int]) -> np.ndarray:
        images = np.empty((len(indices), 3, *resolution), np.uint8)
        for image, index in zip(images, indices, strict=True):
            phase = np.random.default_rng([index, *split.encode()]).random()
            axis = int(index % 2)
            wave = np.sin(2 * np.pi * (self._period * (np.arange(resolution[axis]) + 0.5) / resolution[axis] + phase))
            image[:] = np.round(127.5 * (1 + (wave[:, None] if axis == 0 else wave)))
        return images


SAMPLERS = {"midpoint": Solver(midpoint, lambda num_steps: 2 * num_steps)}
AUTOENCODERS = {"unshuffled": Unshuffled}
DATASETS = {"stripes": Stripes}
