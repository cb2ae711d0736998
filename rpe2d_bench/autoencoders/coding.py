"""Between uint8 images and latents, in batches that fit.

Shape suffixes: B batch, C channels, L channels of latents, Y X pixels, y x cells.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rpe2d_bench.autoencoders.interface import Autoencoder

PIXELS = 2**20  # of the images that pass the network together: 16 of 256 px, one of 1,024 px


def encoded(autoencoder: Autoencoder, images_BCYX: np.ndarray, device: str = "cpu") -> np.ndarray:
    """uint8 images -> float16 latents as the autoencoder gives them, [B, L or 2 L, y, x]."""
    parts = []
    with torch.inference_mode():
        for part in _batches(torch.from_numpy(images_BCYX), 1):
            latents = autoencoder.encode(part.to(device).float() / 255)
            parts.append(latents.to(torch.float16).cpu().numpy())
    return np.concatenate(parts)


def decoded(autoencoder: Autoencoder, latents_BLyx: Tensor) -> Tensor:
    """Latents on the autoencoder's device -> uint8 images [B, 3, Y, X] there; what is not finite becomes mid-grey."""
    parts = []
    with torch.inference_mode():
        for part in _batches(latents_BLyx, autoencoder.downsampling):
            grey = autoencoder.decode(part.float()).float().nan_to_num(0.5, 0.5, 0.5) * 255
            parts.append(grey.round().clamp(0, 255).to(torch.uint8))
    return torch.cat(parts)


def reconstructed(autoencoder: Autoencoder, images_BCYX: np.ndarray, device: str = "cpu") -> np.ndarray:
    """There and back by way of the float16 latents that training sees: the floor of every model behind it."""
    latents = torch.from_numpy(encoded(autoencoder, images_BCYX, device))[:, : autoencoder.channels]
    images: np.ndarray = decoded(autoencoder, latents.to(device)).cpu().numpy()
    return images


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """Mean over images of the peak signal-to-noise ratio of uint8 images, in dB."""
    errors = [float(np.square(a.astype(np.float32) - b).mean()) for a, b in zip(first, second, strict=True)]
    return float(np.mean([10 * np.log10(255**2 / max(error, 1e-10)) for error in errors]))


def _batches(tensor: Tensor, downsampling: int) -> tuple[Tensor, ...]:
    pixels = tensor.shape[-2] * tensor.shape[-1] * downsampling**2
    batches: tuple[Tensor, ...] = tensor.split(max(1, PIXELS // pixels))
    return batches
