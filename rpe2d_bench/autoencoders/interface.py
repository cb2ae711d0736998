"""What every autoencoder gives: a latent space, and the way there and back.

Shape suffixes: B batch, C channels (3 of images), L channels of latents, Y X pixels, y x cells of latents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

ABSENT = "absent"


@dataclass(frozen=True)
class LatentSpace:
    """Where a model trains when it does not train on pixels."""

    options: AutoencoderOptions  # checked
    revision: str  # kind, version and a hash of the weights; `absent` where the files are not there yet
    downsampling: int  # pixels of a side per cell
    channels: int  # L, what the model sees
    windows: int  # random crops of a training image that are encoded and kept
    flops: tuple[float, float]  # of encoding and of decoding, per pixel
    sampled: bool = False  # encode gives mean and deviation, which training draws from
    ready: ReadyLatents | None = None  # of complete training images; crops of them are encoded

    @property
    def stored(self) -> int:
        """Channels that encode gives."""
        return 2 * self.channels if self.sampled else self.channels

    @property
    def place(self) -> str:
        """Where it comes from, for messages."""
        path = getattr(self.options, "path", None)
        return f"autoencoder ({type(self.options).__name__})" if path is None else f"autoencoder.path: {path}"

    @property
    def present(self) -> bool:
        """Whether the files were there."""
        return not self.revision.endswith(ABSENT)


class ReadyLatents(Protocol):
    """Latents of image files that need not be encoded."""

    def latents(self, names: Sequence[str], mirrored: np.ndarray) -> np.ndarray:
        """float16 [B, L or 2 L, y, x], as `encode` gives them, of files of a data set and whether they are mirrored."""
        ...


class Autoencoder(Protocol):
    """A frozen network on a device; deterministic unless its posterior is sampled."""

    downsampling: int
    channels: int  # L

    def encode(self, images_BCYX: Tensor) -> Tensor:
        """Images in [0, 1] -> latents [B, L, y, x] of about unit variance; [B, 2 L, y, x] are mean and deviation."""
        ...

    def decode(self, latents_BLyx: Tensor) -> Tensor:
        """Latents of about unit variance -> images in about [0, 1], [B, 3, Y, X]."""
        ...


class InBfloat16:
    """An autoencoder whose products are computed in bfloat16; what goes in and comes out is float32."""

    def __init__(self, network: Autoencoder, device: str) -> None:
        self._network, self._device = network, device
        self.downsampling, self.channels = network.downsampling, network.channels

    def encode(self, images_BCYX: Tensor) -> Tensor:
        with torch.autocast(self._device, torch.bfloat16):
            return self._network.encode(images_BCYX).float()

    def decode(self, latents_BLyx: Tensor) -> Tensor:
        with torch.autocast(self._device, torch.bfloat16):
            return self._network.decode(latents_BLyx).float()


@runtime_checkable
class AutoencoderOptions(Protocol):
    """A frozen dataclass whose fields are the options in YAML.

    A field `precision` with the values auto, float32 and bf16 leaves the arithmetic to this package.
    """

    def check(self) -> None:
        """Raises UserError for what cannot work."""

    def describe(self) -> LatentSpace:
        """The size of its latents, and a hash of its weights; loads no network."""

    def load(self, device: str) -> Autoencoder: ...
