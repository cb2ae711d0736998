"""How stages pass images through the autoencoder of an experiment: the training pool in, samples out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from rpe2d_bench.autoencoders import LatentSpace
from rpe2d_bench.resolution import Resolution
from rpe2d_bench.stages.run_context import RunContext, Stage

if TYPE_CHECKING:
    from rpe2d_bench.autoencoders import Autoencoder
    from rpe2d_bench.data import Dataset
    from rpe2d_bench.data.latent_batches import Encoder
    from rpe2d_bench.stages.train import TrainStage
    from rpe2d_bench.training.loop import Batches


def training_pool(stage: TrainStage, dataset: Dataset, resolution: Resolution, context: RunContext) -> Batches:
    """Where the batches of a training come from, at one of its resolutions: pixels, or latents."""
    from rpe2d_bench.data import conversions
    from rpe2d_bench.data.image_batches import TrainingImages
    from rpe2d_bench.data.latent_batches import TrainingLatents

    verb = "encoding" if stage.latents else "reading" if hasattr(stage.data, "path") else "rendering"
    between = Watch(stage, f"{verb} training images", context)
    crops, number, device = stage.crops, stage.recipe.num_pictures, context.resources.device
    cache = context.store.root / "cache"
    if stage.latents is None:
        pool: Batches = TrainingImages(
            dataset, resolution, crops, num_pictures=number, cache_dir=cache, device=device, between=between
        )
    else:
        encoder = encoder_of(stage.latents, device)
        pool = TrainingLatents(
            dataset, resolution, crops, encoder, num_pictures=number, cache_dir=cache, device=device, between=between
        )
    if converted := conversions(dataset):
        context.say(f"{getattr(stage.data, 'path', 'data')}: {converted}")
    return pool


@dataclass
class Watch:
    """Called with how far a pool is: tells whoever watches, and interrupts when the time is over and a part is done."""

    stage: Stage
    phase: str
    context: RunContext
    last: int | None = None

    def __call__(self, done: int, total: int) -> None:
        self.context.doing(self.stage, self.phase, done, total)
        if self.last is not None and done > self.last:
            self.context.check_time()
        self.last = done


def encoder_of(space: LatentSpace, device: str) -> Encoder:
    """The autoencoder as pools use it; it is loaded when the first image has to be encoded."""
    from rpe2d_bench import autoencoders
    from rpe2d_bench.data.latent_batches import Encoder

    loaded: list[Autoencoder] = []

    def encode(images: np.ndarray) -> np.ndarray:
        if not loaded:
            loaded.append(autoencoders.load(space, device))
        return autoencoders.encoded(loaded[0], images, device)

    ready = None if space.ready is None else space.ready.latents
    return Encoder(encode, space.revision, space.downsampling, space.channels, space.stored, space.windows, ready)


def decoder_of(space: LatentSpace, device: str) -> Callable[[Tensor], Tensor]:
    """Latents on the device -> uint8 images there."""
    from rpe2d_bench import autoencoders

    autoencoder = autoencoders.load(space, device)
    return lambda latents: autoencoders.decoded(autoencoder, latents)


def model_space(stage: TrainStage, device: str) -> Callable[[np.ndarray], Tensor]:
    """uint8 images -> what the model of a training sees: [-1, 1], or latents; an autoencoder is loaded once."""
    if stage.latents is None:
        return lambda images: torch.from_numpy(images).to(device) / 127.5 - 1
    encode = encoder_of(stage.latents, device).encode
    return lambda images: torch.from_numpy(encode(images)).to(device).float()[:, : stage.model_channels]


def reconstruction(space: LatentSpace, images: np.ndarray, device: str) -> tuple[np.ndarray, float]:
    """uint8 images through the autoencoder and back, and how close they are: mean PSNR in dB."""
    from rpe2d_bench import autoencoders
    from rpe2d_bench.autoencoders.coding import psnr, reconstructed

    back = reconstructed(autoencoders.load(space, device), images, device)
    return back, psnr(images, back)
