"""Named sizes: DiT-S/B/L/XL as published (arXiv 2212.09748, table 1), and mini sizes for CPUs.

The mini sizes use the exact GELU where the published ones use its tanh approximation: CPUs vectorise the error
function better than tanh.
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
SIZES = MINI | PUBLISHED


def preset(name: str, **changes: object) -> DiTOptions:
    """Options of NAME/PATCH, such as DiT-XL/2, with fields replaced by `changes`."""
    size, slash, patch = name.partition("/")
    if size not in SIZES:
        raise unknown("model preset", size, SIZES)
    if not slash or not patch.isdigit() or int(patch) < 1:
        raise UserError(f"model preset {name!r} lacks its patch size; write for example {size}/4")
    width, depth, heads = SIZES[size]
    options = DiTOptions(width, depth, heads, int(patch), gelu="none" if size in MINI else "tanh")
    return replace(options, **changes)  # type: ignore[arg-type]


def options_of(size: Model) -> DiTOptions:
    """Options of what an experiment file says of a model's size."""
    gelu = {} if size.gelu is None else {"gelu": size.gelu}
    return preset(size.preset, scan=size.scan, stem=size.stem, time_scale=size.time_scale, **gelu)


def preset_of(width: int, depth: int) -> str | None:
    """The name of that size, without its patch."""
    return next((name for name, (w, d, _) in SIZES.items() if (w, d) == (width, depth)), None)


def flops_per_forward(options: DiTOptions, tokens: int, channels: int) -> float:
    """Multiply-adds counted as two FLOPs: matrix products of one image's forward pass, as in arXiv 2212.09748."""
    width, hidden = options.width, options.width * options.mlp_ratio
    per_token = 2 * width * (3 * width + width + 2 * hidden) + 4 * tokens * width
    per_image = 2 * width * 6 * width
    ends = 2 * tokens * width * 2 * channels * options.patch_size**2 + 2 * width * 2 * width
    return options.depth * (tokens * per_token + per_image) + ends
