"""Named sizes: DiT-S/B/L/XL (arXiv 2212.09748, table 1) and FiTv2 (arXiv 2410.13925) as published, and mini sizes.

The mini sizes of DiT use the exact GELU where the published ones use its tanh approximation: CPUs vectorise the error
function better than tanh. A size of FiTv2 is one of its architecture, too: SwiGLU, q and k normalised, and a shared
modulation with one of a quarter of the width in rank for each block.
"""

from __future__ import annotations

from dataclasses import replace

from rpe2d_bench.config.experiment import Model
from rpe2d_bench.errors import UserError, unknown
from rpe2d_bench.models.dit import DiTOptions

# name: width, depth, heads
PUBLISHED = {
    "DiT-S": (384, 12, 6),
    "DiT-B": (768, 12, 12),
    "DiT-L": (1024, 24, 16),
    "DiT-XL": (1152, 28, 16),
}
MINI = {
    "DiT-Nano": (64, 4, 2),
    "DiT-Mini": (96, 5, 3),
    "DiT-Tiny": (192, 6, 6),
}
FITV2 = {
    "FiTv2-Nano": (64, 4, 2),
    "FiTv2-XL": (1152, 36, 16),
    "FiTv2-3B": (2304, 40, 24),
}
SIZES = MINI | PUBLISHED | FITV2


def preset(name: str, **changes: object) -> DiTOptions:
    """Options of NAME/PATCH, such as DiT-XL/2, with fields replaced by `changes`."""
    size, slash, patch = name.partition("/")
    if size not in SIZES:
        raise unknown("model preset", size, SIZES)
    if not slash or not patch.isdigit() or int(patch) < 1:
        raise UserError(f"model preset {name!r} lacks its patch size; write for example {size}/4")
    width, depth, heads = SIZES[size]
    options = DiTOptions(width, depth, heads, int(patch), gelu="none" if size in MINI else "tanh")
    if size in FITV2:
        options = replace(options, swiglu=True, qk_norm=True, modulation_rank=width // 4)
    return replace(options, **changes)  # type: ignore[arg-type]


def options_of(size: Model) -> DiTOptions:
    """Options of what an experiment file says of a model's size. Raises UserError for a GELU where there is none."""
    if size.gelu is not None and preset(size.preset).swiglu:
        raise UserError(f"model.gelu: {size.preset} has SwiGLU in place of GELU; leave gelu out")
    gelu = {} if size.gelu is None else {"gelu": size.gelu}
    return preset(size.preset, scan=size.scan, stem=size.stem, time_scale=size.time_scale, **gelu)


def preset_of(width: int, depth: int, *, fit: bool = False) -> str | None:
    """The name of that size, of DiT or of FiTv2, without its patch."""
    sizes = FITV2 if fit else MINI | PUBLISHED
    return next((name for name, (w, d, _) in sizes.items() if (w, d) == (width, depth)), None)


def flops_per_forward(options: DiTOptions, tokens: int, channels: int) -> float:
    """Multiply-adds counted as two FLOPs: matrix products of one image's forward pass, as in arXiv 2212.09748."""
    width, own = options.width, options.modulation_rank is None
    per_block = 2 * tokens * _token_weights(options) + 4 * tokens**2 * width + 2 * _modulation_weights(options)
    shared = 0 if own else 2 * width * 6 * width
    ends = 2 * tokens * width * 2 * channels * options.patch_size**2 + 2 * width * 2 * width
    return float(options.depth * per_block + shared + ends)


def weights_of_blocks(options: DiTOptions) -> int:
    """Weights of the matrices of all blocks."""
    return options.depth * (_token_weights(options) + _modulation_weights(options))


def _token_weights(options: DiTOptions) -> int:
    """Of the matrices that a block multiplies every token with."""
    return options.width * (4 * options.width + (3 if options.swiglu else 2) * options.hidden_width)


def _modulation_weights(options: DiTOptions) -> int:
    """Of those that a block multiplies the condition with."""
    rank = options.modulation_rank
    return options.width * (6 * options.width if rank is None else 7 * rank)
