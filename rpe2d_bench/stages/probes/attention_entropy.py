"""What attention does on a grid: the model run on noised real images, looked into between projection and softmax.

Shape suffixes: B batch, C channels, Y X pixels (or cells of latents), H heads, M N tokens, E packed q, k and v,
L layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from rpe2d_bench.encodings.interface import Context, Grid, PositionalEncoding
from rpe2d_bench.stages.denoiser import load_denoiser
from rpe2d_bench.stages.latents import model_space
from rpe2d_bench.stages.run_context import RunContext

if TYPE_CHECKING:
    from torch import Tensor

    from rpe2d_bench.metrics.attention_entropy import AttentionEntropy
    from rpe2d_bench.models import DiT
    from rpe2d_bench.models.attention import Rotation
    from rpe2d_bench.models.pair_logits import Pairs
    from rpe2d_bench.stages.reference import ReferenceStage
    from rpe2d_bench.stages.sample import SampleStage

ELEMENTS = 2**24  # of the attention matrices in memory at once


def look_inside(
    stage: SampleStage, reference: ReferenceStage, context: RunContext
) -> tuple[dict[str, float], dict[str, Any]]:
    """The attention-entropy deviation of a method from its model as trained on the train grid, and its details."""
    from rpe2d_bench.diffusion import SAMPLERS
    from rpe2d_bench.metrics import attention_entropy as measure

    device, train, folder = context.resources.device, stage.train, stage.train.make(context)
    dataset = reference.data.build()
    indices = reference.indices(dataset)[: measure.IMAGES]
    labels = dataset.labels(reference.split, indices)  # type: ignore[arg-type]
    sampler = stage.sampler
    ts = measure.nearest(SAMPLERS[sampler.kind].asked(sampler.steps, float(sampler.shift), stage.begin))
    seen = []
    for encoding, resolution in ((stage.encoding, stage.resolution), (train.encoding, train.resolution)):
        denoiser = load_denoiser(train, folder, encoding).to(device)
        images = dataset.images(reference.split, indices, resolution)  # type: ignore[arg-type]
        x_BCYX = model_space(train, device)(images)
        seen.append(
            entropy(denoiser.dit, denoiser.encoding, x_BCYX, labels, ts, train.recipe.path, train.grid,
                    stage.conditioning)
        )  # fmt: skip
    now, trained = seen
    return measure.deviation(now, trained), measure.details(now, trained, ts, len(indices))


def entropy(
    dit: DiT,
    encoding: PositionalEncoding,
    x_BCYX: Tensor,
    labels: np.ndarray,
    ts: list[float],
    path_name: str,
    train_grid: Grid,
    conditioning: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> AttentionEntropy:
    """Mean entropy of attention rows by layer and head, over images and times, without guidance, in float32."""
    import torch

    from rpe2d_bench.diffusion import noised, path
    from rpe2d_bench.metrics.attention_entropy import AttentionEntropy
    from rpe2d_bench.models.attention import rotation_of
    from rpe2d_bench.models.pair_logits import by_layer, lower_right_mask
    from rpe2d_bench.sampling.loop import noise

    grid, device = dit.grid(x_BCYX), x_BCYX.device
    labels_B = torch.from_numpy(np.asarray(labels, dtype=np.int64)).to(device)
    crop_B3 = torch.tensor([conditioning], device=device)
    together = max(1, ELEMENTS // (dit.options.heads * grid.tokens**2))  # images
    total_LH = torch.zeros(dit.options.depth, dit.options.heads, dtype=torch.float64)
    with torch.inference_mode():
        eps_BCYX = noise(0, np.arange(len(x_BCYX)), tuple(x_BCYX.shape[1:])).to(device)  # type: ignore[arg-type]
        for t in ts:
            t_1 = torch.tensor([t], dtype=torch.float32, device=device)
            realised = encoding(Context(grid, train_grid, t_1))
            rotation = rotation_of(realised, dit.options.heads, dit.options.head_width, x_BCYX)
            causal_NN = lower_right_mask(grid, device) if dit.options.scan == "alternate" else None
            layers = by_layer(realised, dit.options.depth, causal_NN, x_BCYX, in_kernel=False)
            for start in range(0, len(x_BCYX), together):
                part = slice(start, start + together)
                t_B = t_1.expand(len(labels_B[part]))
                x_t, _ = noised(path(path_name), x_BCYX[part], eps_BCYX[part], t_B)
                with _watched(dit, rotation, layers, total_LH):
                    dit(x_t, t_B, labels_B[part], realised, crop_B3)
    return AttentionEntropy((total_LH / (len(ts) * len(x_BCYX))).numpy(), grid.tokens)


@contextmanager
def _watched(dit: DiT, rotation: Rotation, layers: list[Pairs | None], total_LH: Tensor) -> Iterator[None]:
    """While this is open, every block adds the mean entropy of its rows, per image, to its line of the total."""
    from rpe2d_bench.models.dit import Block

    handles = []
    for layer, (block, pairs) in enumerate(zip(dit.blocks, layers, strict=True)):

        def add(_: Any, __: Any, qkv_BNE: Tensor, layer: int = layer, pairs: Pairs | None = pairs) -> None:
            total_LH[layer] += row_entropies(qkv_BNE, dit.options.heads, rotation, pairs).cpu().double()

        assert isinstance(block, Block)
        handles.append(block.qkv.register_forward_hook(add))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def row_entropies(qkv_BNE: Tensor, heads: int, rotation: Rotation, pairs: Pairs | None) -> Tensor:
    """[H] mean entropy of the rows of one layer, summed over images, a slice of the attention matrix at a time."""
    import torch

    from rpe2d_bench.encodings.scaling import wide
    from rpe2d_bench.metrics.attention_entropy import row_entropy
    from rpe2d_bench.models.attention import RotationsAveraged

    each = rotation.each if isinstance(rotation, RotationsAveraged) else (rotation,)
    turned = [one.unpacked(qkv_BNE, heads)[:2] for one in each]
    batch, _, tokens, _ = turned[0][0].shape
    rows = max(1, ELEMENTS // (batch * heads * tokens))
    total_H = torch.zeros(heads, dtype=wide(qkv_BNE.device), device=qkv_BNE.device)
    for start in range(0, tokens, rows):
        queries = slice(start, start + rows)
        found = [row_logits(q_BHNK[:, :, queries], k_BHNK, queries, pairs) for q_BHNK, k_BHNK in turned]
        # attention that is averaged over rotations is the mean of its rows, and softmax(log p) = p
        logits_BHMN = found[0] if len(found) == 1 else sum(part.softmax(dim=-1) for part in found).div(len(found)).log()  # type: ignore[union-attr]
        total_H += row_entropy(logits_BHMN).to(total_H.dtype).sum(dim=(0, 2))
    return total_H / tokens


def row_logits(q_BHMK: Tensor, k_BHNK: Tensor, queries: slice, pairs: Pairs | None) -> Tensor:
    """[B, H, M, N] logits of some queries, masked or biased."""
    import torch

    from rpe2d_bench.models.pair_logits import BiasedPairs

    if isinstance(pairs, BiasedPairs):
        return pairs.logits(q_BHMK, k_BHNK, queries)
    logits_BHMN = q_BHMK @ k_BHNK.transpose(-2, -1)
    return logits_BHMN if pairs is None else logits_BHMN.masked_fill(~pairs[queries], -torch.inf)
