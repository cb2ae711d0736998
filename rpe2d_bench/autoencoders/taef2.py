"""TAEF2, a tiny autoencoder for FLUX.2's latent space by Ollin Boer Bohan (MIT): 8 times down, 32 channels.

Only the architecture is here; the weights (5 MiB, safetensors) are given by path. Convolutions are 3x3 with ReLU;
the group norm of a mid-block pools over the whole image, so images are encoded at the size they are used at.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rpe2d_bench.autoencoders.interface import ABSENT, LatentSpace
from rpe2d_bench.errors import UserError
from rpe2d_bench.storage.files import sha256_of_unchanged

VERSION = 1
WIDTH, CHANNELS, DOWNSAMPLING = 64, 32, 8
FLOPS = (4.7e5, 5.4e5)  # of encoder and decoder per pixel, counted with torch's FlopCounterMode


@dataclass(frozen=True)
class Taef2Options:
    """Options of `autoencoder: {kind: taef2, path: FILE.safetensors}`."""

    path: str  # of the weights
    windows: int = 4  # random crops of a training image that are encoded once and kept; matters where models crop
    precision: Literal["auto", "float32", "bf16"] = "auto"  # auto: what a measurement finds faster on this machine

    def check(self) -> None:
        """Raises UserError for values that cannot work."""
        if self.windows < 1:
            raise UserError(f"autoencoder.windows must be at least 1, not {self.windows}")

    def describe(self) -> LatentSpace:
        path = Path(self.path)
        digest = sha256_of_unchanged(path)[:16] if path.is_file() else ABSENT
        return LatentSpace(self, f"taef2-v{VERSION}-{digest}", DOWNSAMPLING, CHANNELS, self.windows, FLOPS)

    def load(self, device: str) -> Taef2:
        from safetensors.torch import load_file

        network = Taef2()
        try:
            network.load_state_dict({name: value.float() for name, value in load_file(self.path).items()})
        except Exception as error:  # not safetensors, or weights of something else
            raise UserError(
                f"autoencoder.path: {self.path} does not hold the weights of taef2 ({type(error).__name__}: "
                f"{str(error).strip().splitlines()[-1].strip()})"
            ) from None
        return network.eval().requires_grad_(False).to(device)


class Block(nn.Module):
    """Three convolutions and the identity; a mid-block first adds what a group norm over the image pools."""

    def __init__(self, *, mid: bool = False) -> None:
        super().__init__()
        self.conv = nn.Sequential(_conv(WIDTH, WIDTH), nn.ReLU(), _conv(WIDTH, WIDTH), nn.ReLU(), _conv(WIDTH, WIDTH))
        self.pool = (
            nn.Sequential(
                nn.Conv2d(WIDTH, 4 * WIDTH, 1, bias=False),
                nn.GroupNorm(4, 4 * WIDTH),
                nn.ReLU(),
                nn.Conv2d(4 * WIDTH, WIDTH, 1, bias=False),
            )
            if mid
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.pool is not None:
            x = x + self.pool(x)
        return F.relu(self.conv(x) + x)


class Squash(nn.Module):
    """Latents far outside the usual range are bounded before decoding."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / 3) * 3


class Taef2(nn.Module):
    """Encoder and decoder; names of weights are those of the published file."""

    downsampling, channels = DOWNSAMPLING, CHANNELS

    def __init__(self) -> None:
        super().__init__()
        encoder: list[nn.Module] = [_conv(3, WIDTH), Block()]
        for stage in range(3):
            encoder += [_conv(WIDTH, WIDTH, stride=2, bias=False), *(Block(mid=stage == 2) for _ in range(3))]
        self.encoder = nn.Sequential(*encoder, _conv(WIDTH, CHANNELS))
        decoder: list[nn.Module] = [Squash(), _conv(CHANNELS, WIDTH), nn.ReLU(), *(Block(mid=True) for _ in range(3))]
        for blocks in (3, 3, 1):
            decoder += [nn.Upsample(scale_factor=2), _conv(WIDTH, WIDTH, bias=False), *(Block() for _ in range(blocks))]
        self.decoder = nn.Sequential(*decoder, _conv(WIDTH, 3))

    def encode(self, images_BCYX: Tensor) -> Tensor:
        """Latents of standard deviation 0.84 around 0; nothing is scaled."""
        latents: Tensor = self.encoder(images_BCYX)
        return latents

    def decode(self, latents_BLyx: Tensor) -> Tensor:
        images: Tensor = self.decoder(latents_BLyx)
        return images


def _conv(inputs: int, outputs: int, *, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=bias)
