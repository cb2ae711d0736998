"""The one sampling loop: a trained denoiser, an encoding and a resolution in; images out, batch by batch.

Image i of every method starts from the same noise and label, so methods are compared pairwise.

Shape suffixes: B batch, C channels, Y X pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Generator, Tensor

from rpe2d_bench.config.experiment import Sampler
from rpe2d_bench.data.subsets import labels_by_counts
from rpe2d_bench.diffusion import SAMPLERS, Flow, guided, path, shift_at
from rpe2d_bench.encodings.interface import Context, Grid
from rpe2d_bench.models import Denoiser
from rpe2d_bench.models.program import without_gradient


def draws(seed: int, indices: np.ndarray, shape: tuple[int, int, int]) -> Callable[[], Tensor]:
    """[B, C, Y, X] normal noise, other at every call; an image's depends on (seed, index, shape) alone, not on its
    batch."""
    digests = (hashlib.blake2b(f"noise {seed} {index} {shape}".encode(), digest_size=7).digest() for index in indices)
    rngs = [Generator().manual_seed(int.from_bytes(digest, "big")) for digest in digests]
    return lambda: torch.stack([torch.randn(shape, generator=rng) for rng in rngs])


def noise(seed: int, indices: np.ndarray, shape: tuple[int, int, int]) -> Tensor:
    """The first of the draws, which samples start from."""
    return draws(seed, indices, shape)()


def labels_of(
    kind: str, seed: int, indices: np.ndarray, num_classes: int, counts: tuple[int, ...] | None = None
) -> np.ndarray:
    """Labels of images, the same for every method: 'balanced' in turn, so that every class comes equally often;
    'reference' as often as `counts` says; 'iid' drawn for each image from (seed, index) alone, evenly or by `counts`.
    """
    if kind == "reference" and counts is not None:
        return labels_by_counts(counts, indices)
    if kind in ("balanced", "reference"):
        return indices % num_classes
    digests = (hashlib.blake2b(f"label {seed} {index}".encode(), digest_size=8).digest() for index in indices)
    drawn = [int.from_bytes(digest, "big") for digest in digests]
    if counts is None:
        return np.array([number % num_classes for number in drawn], dtype=np.int64)
    ends = np.cumsum(counts)
    return np.searchsorted(ends, [number % int(ends[-1]) for number in drawn], side="right").astype(np.int64)


def to_uint8(x_BCYX: Tensor) -> np.ndarray:
    """Model space [-1, 1] to uint8; what is not finite becomes mid-grey so that one broken cell stays measurable."""
    grey = ((x_BCYX.float().nan_to_num(0.0, 0.0, 0.0) + 1) * 127.5).round().clamp(0, 255)
    images: np.ndarray = grey.to(torch.uint8).cpu().numpy()
    return images


@torch.inference_mode()
def sample(
    denoiser: Denoiser,
    options: Sampler,
    *,
    resolution: tuple[int, int],
    train_grid: Grid,
    indices: np.ndarray,
    seed: int,
    conditioning: tuple[float, float, float] = (0.0, 0.0, 0.0),
    batch_size: int = 100,
    device: str = "cpu",
    downsampling: int = 1,
    decode: Callable[[Tensor], np.ndarray] = to_uint8,
    labels: str = "balanced",
    class_counts: tuple[int, ...] | None = None,
    begin: float = 1.0,
    begun: Callable[[np.ndarray, Tensor], Tensor] | None = None,
) -> Iterator[np.ndarray]:
    """Yield images [B, C, Y, X] uint8 in the order of `indices`, all with the same options.

    resolution is of the images; the model works on sides smaller by `downsampling`, and `decode` makes pixels of it.
    Compiled, a last and smaller batch is filled up with its last image, so that it needs no program of its own.
    begun: (indices, noise on the CPU) -> x at t = begin, where images are not made from noise alone.
    """
    dit = denoiser.dit
    inner = (resolution[0] // downsampling, resolution[1] // downsampling)
    grid = Grid(inner[0] // dit.options.patch_size, inner[1] // dit.options.patch_size)
    sampler = SAMPLERS[options.kind]
    shift = shift_at(options.shift, grid.tokens, train_grid.tokens)
    ts = sampler.times(options.steps, shift, begin)
    along = path(denoiser.objective.path)
    crop_B3 = torch.tensor([conditioning], device=device)
    with_guidance = options.guidance != 1.0
    autocast = torch.autocast(device, torch.bfloat16, enabled=options.precision == "bf16")
    model: Callable[..., Tensor] = denoiser
    if options.compile:
        model = without_gradient(denoiser, device, "sampler.compile")

    for start in range(0, len(indices), batch_size):
        chosen = indices[start : start + batch_size]
        count = len(chosen)
        if options.compile:
            chosen = np.pad(chosen, (0, batch_size - count), mode="edge")
        labels_B = torch.from_numpy(labels_of(labels, seed, chosen, dit.num_classes, class_counts)).to(device)
        if with_guidance:
            labels_B = torch.cat((labels_B, torch.full_like(labels_B, dit.no_class)))

        def velocity(x_BCYX: Tensor, t: float | Tensor, labels_B: Tensor = labels_B) -> Tensor:
            t_T = torch.as_tensor(t, dtype=torch.float32).view(-1).to(device)  # of all images, or of each
            t_T = t_T if len(t_T) == 1 else t_T.repeat(len(labels_B) // len(t_T))
            twice_BCYX = torch.cat((x_BCYX, x_BCYX)) if with_guidance else x_BCYX
            realised = denoiser.encoding(Context(grid, train_grid, t_T))
            with autocast:
                v_BCYX = model(twice_BCYX, t_T.expand(len(labels_B)), labels_B, realised, crop_B3)
            if not with_guidance:
                return v_BCYX
            conditional_BCYX, unconditional_BCYX = v_BCYX.chunk(2)
            return guided(conditional_BCYX, unconditional_BCYX, options.guidance, options.guided_channels)

        drawn = draws(seed, chosen, (dit.channels, *inner))
        x_BCYX = drawn()
        x_BCYX = (x_BCYX if begun is None else begun(chosen, x_BCYX)).to(device)
        flow = Flow(velocity, along, lambda drawn=drawn: drawn().to(device))  # type: ignore[misc]
        *_, x_BCYX = sampler(flow, x_BCYX, ts)
        yield decode(x_BCYX[:count])
