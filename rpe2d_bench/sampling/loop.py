"""The one sampling loop: a trained denoiser, an encoding and a resolution in; images out, batch by batch.

Image i of every method starts from the same noise and label, so methods are compared pairwise.

Shape suffixes: B batch, C channels, Y X pixels.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial

import numpy as np
import torch
from torch import Generator, Tensor

from rpe2d_bench.config.experiment import Sampler
from rpe2d_bench.data.device_pool import placed
from rpe2d_bench.data.subsets import labels_by_counts
from rpe2d_bench.diffusion import SAMPLERS, Flow, guided, path, shift_at
from rpe2d_bench.encodings.interface import Context, Grid
from rpe2d_bench.models import Denoiser
from rpe2d_bench.models.program import without_gradient

AHEAD = {"cuda": 1}  # batches that a device has to work on while the host takes one


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


def to_uint8(x_BCYX: Tensor) -> Tensor:
    """Model space [-1, 1] to uint8; what is not finite becomes mid-grey so that one broken cell stays measurable."""
    grey = ((x_BCYX.float().nan_to_num(0.0, 0.0, 0.0) + 1) * 127.5).round().clamp(0, 255)
    return grey.to(torch.uint8)


def leaving(images: Tensor) -> Callable[[], np.ndarray]:
    """Starts a copy to the host; the call waits until it is there."""
    if images.device.type != "cuda":
        here: np.ndarray = images.cpu().numpy()
        return lambda: here
    there = torch.empty(images.shape, dtype=images.dtype, pin_memory=True)
    there.copy_(images, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record()

    def arrived() -> np.ndarray:
        copied.synchronize()
        found: np.ndarray = there.numpy()
        return found

    return arrived


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
    decode: Callable[[Tensor], Tensor] = to_uint8,
    labels: str = "balanced",
    class_counts: tuple[int, ...] | None = None,
    begin: float = 1.0,
    begun: Callable[[np.ndarray, Tensor], Tensor] | None = None,
) -> Iterator[np.ndarray]:
    """Yield images [B, C, Y, X] uint8 in the order of `indices`, all with the same options.

    resolution is of the images; the model works on sides smaller by `downsampling`, and `decode` makes pixels of it.
    Compiled, a last and smaller batch is filled up with its last image, so that it needs no program of its own.
    begun: (indices, noise on the CPU) -> x at t = begin, where images are not made from noise alone.
    The host waits for a GPU when it takes a batch, no sooner than the GPU has the next one to work on, and once in a
    step of an adaptive sampler.
    """
    dit = denoiser.dit
    inner = (resolution[0] // downsampling, resolution[1] // downsampling)
    grid = Grid(inner[0] // dit.options.patch_size, inner[1] // dit.options.patch_size)
    sampler = SAMPLERS[options.kind]
    shift = shift_at(options.shift, grid.tokens, train_grid.tokens)
    ts = sampler.times(options.steps, shift, begin)
    along = path(denoiser.objective.path)
    crop_B3 = torch.tensor([conditioning], device=device)
    there = partial(placed, device=torch.device(device))
    ready: deque[Callable[[], np.ndarray]] = deque()
    with_guidance = options.guidance != 1.0
    bf16 = options.precision == "bf16"
    model: Callable[..., Tensor] = denoiser
    if options.compile:
        model = without_gradient(denoiser, device, "sampler.compile")

    for start in range(0, len(indices), batch_size):
        chosen = indices[start : start + batch_size]
        count = len(chosen)
        if options.compile:
            chosen = np.pad(chosen, (0, batch_size - count), mode="edge")
        labels_B = there(torch.from_numpy(labels_of(labels, seed, chosen, dit.num_classes, class_counts)))
        if with_guidance:
            labels_B = torch.cat((labels_B, torch.full_like(labels_B, dit.no_class)))

        def velocity(x_BCYX: Tensor, t: float | Tensor, labels_B: Tensor = labels_B) -> Tensor:
            if isinstance(t, Tensor):  # of each image
                t_T = t.float().to(device).repeat(len(labels_B) // len(t))
            else:  # of all, filled in on the device: copying a number there would make the host wait
                t_T = torch.full((1,), t, dtype=torch.float32, device=device)
            twice_BCYX = torch.cat((x_BCYX, x_BCYX)) if with_guidance else x_BCYX
            realised = denoiser.encoding(Context(grid, train_grid, t_T))
            with torch.autocast(device, torch.bfloat16) if bf16 else nullcontext():
                v_BCYX = model(twice_BCYX, t_T.expand(len(labels_B)), labels_B, realised, crop_B3)
            if not with_guidance:
                return v_BCYX
            conditional_BCYX, unconditional_BCYX = v_BCYX.chunk(2)
            return guided(conditional_BCYX, unconditional_BCYX, options.guidance, options.guided_channels)

        drawn = draws(seed, chosen, (dit.channels, *inner))
        x_BCYX = drawn()
        x_BCYX = there(x_BCYX if begun is None else begun(chosen, x_BCYX))
        flow = Flow(velocity, along, lambda drawn=drawn: there(drawn()))  # type: ignore[misc]
        (x_BCYX,) = deque(sampler(flow, x_BCYX, ts), maxlen=1)  # the last step's; the others take no memory
        ready.append(leaving(decode(x_BCYX[:count])))
        if len(ready) > AHEAD.get(device, 0):
            yield ready.popleft()()
    for images in ready:
        yield images()
