"""Autoencoders with random weights and a handful of images: the paper's code path at toy size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

EXPERIMENT = """\
schema_version: 1
name: toy_latents
seeds: [0]
data: {{name: image_folder, path: {images}, test_share: 0.5, flip: true}}
autoencoder: {{{autoencoder}, windows: 2}}
model: {{preset: DiT-Nano/2}}
train: {{steps: 4, batch_size: 4, warmup: 2}}
models:
  rope: {{encoding: {{kind: axial_rope}}}}
  rpe2d:
    encoding: {{kind: axial_rope, positions: {{kind: random, max_grid: [4, 4]}}}}
    crops: {{kind: resize_and_crop, max_zoom: 1.5}}
methods:
  extrapolation: {{model: rope}}
  interpolation: {{model: rope, frequencies: {{kind: interpolated}}}}
  rpe2d: {{model: rpe2d}}
resolutions:
  - {{train: 32, test: [32, [32, 48]]}}
evaluate: {{sampler: {{steps: 2}}, num_samples: 8, metrics: [kid], judge: null}}
resources: {{trials_in_parallel: 1}}
report: {{main_metric: kid, reference_method: interpolation}}
"""


def images(folder: Path, count: int = 48) -> Path:
    """Smooth random images of two classes that glyphnet knows, 64 x 48 px."""
    rng = np.random.default_rng(0)
    for number in range(count):
        small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        (folder / "01"[number % 2]).mkdir(parents=True, exist_ok=True)
        small.resize((64, 48), Image.Resampling.BICUBIC).save(folder / "01"[number % 2] / f"{number}.png")
    return folder


def kl(folder: Path, *, scaling_factor: float = 0.5, shift_factor: float | None = None, seed: int = 0) -> Path:
    """A tiny AutoencoderKL, 8 times down, as diffusers saves it."""
    from rpe2d_bench.metrics.nets.torchvision_import import import_torchvision

    import_torchvision()
    from diffusers import AutoencoderKL

    torch.manual_seed(seed)
    network = AutoencoderKL(
        block_out_channels=(4, 4, 4, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=2,
        latent_channels=4,
        scaling_factor=scaling_factor,
        shift_factor=shift_factor,
    )
    network.save_pretrained(folder)
    return folder


def taef2(path: Path, seed: int = 0) -> Path:
    """Random weights of TAEF2's shapes and names, float16 as published."""
    from safetensors.torch import save_file

    from rpe2d_bench.autoencoders.taef2 import Taef2

    torch.manual_seed(seed)
    save_file({name: value.half().contiguous() for name, value in Taef2().state_dict().items()}, path)
    return path
