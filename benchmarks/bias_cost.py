"""What a bias on the logits costs: a DiT-B/2 forward pass with it against plain rotation, at 256 and 1,024 tokens.

python -m benchmarks.bias_cost [--out FILE.json] [--device cpu|cuda] [--model NAME/PATCH] [--batch N] [--repeats N]
                               [--bf16]

The encoding is computed in every pass, as a sampler does. `kernel` says whether the rule was evaluated inside attention
or laid out as [heads, N, N]; on CUDA elementwise rules are measured both ways, whatever a model would choose. Positions
are drawn in one of two rows, so that every image has a bias of its own.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.limits import median_seconds
from rpe2d_bench.encodings import LOGIT_BIASES, Context, Grid, PositionalEncoding, build
from rpe2d_bench.models import DiT, pair_logits, preset

GRIDS = (Grid(16, 16), Grid(32, 32))
RANDOM = {"kind": "random", "max_grid": [64, 64]}


def variants() -> Iterator[tuple[str, dict[str, Any]]]:
    """(label, spec) of plain rotation first, then of every bias, on the grid and on random positions."""
    yield "axial_rope", {"kind": "axial_rope"}
    for name, cls in sorted(LOGIT_BIASES.items()):
        if name == "none":
            continue
        spec = {"kind": "axial_rope", "bias": {"kind": name, **getattr(cls, "example", {})}}
        yield name, spec
        yield f"{name}, drawn", {**spec, "positions": RANDOM}


def forward(model: DiT, x: torch.Tensor, labels: torch.Tensor, encoding: PositionalEncoding, ctx: Context) -> None:
    """A pass with its encoding."""
    model(x, ctx.t, labels, encoding(ctx))


def measure(name: str, batch: int, repeats: int, device: str, bf16: bool) -> list[dict[str, Any]]:
    """One row per variant and grid; ratio: to plain rotation on the same grid."""
    options = preset(name)
    model = DiT(options, channels=4, num_classes=1000).to(device).eval()
    rows: list[dict[str, Any]] = []
    for grid in GRIDS:
        x = torch.randn(batch, 4, *(options.patch_size * side for side in (grid.height, grid.width)), device=device)
        t, labels = torch.full((batch,), 0.5, device=device), torch.zeros(batch, dtype=torch.long, device=device)
        plain = 0.0
        for label, spec in variants():
            encoding = build(spec, width=options.width, heads=options.heads).to(device)
            drawn = torch.Generator(device).manual_seed(0) if "drawn" in label else None
            ctx = Context(grid, Grid(16, 16), t, drawn, batch)
            rule = getattr(encoding, "bias", None)
            both = device == "cuda" and rule is not None and rule.elementwise
            for in_kernel in (False, True) if both else (False,):
                pair_logits.ROOM = 0 if in_kernel else sys.maxsize
                with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=bf16):
                    seconds = median_seconds(partial(forward, model, x, labels, encoding, ctx), repeats, device)
                plain = plain or seconds
                row = {
                    "bias": label,
                    "tokens": grid.tokens,
                    "ms": seconds * 1e3,
                    "ratio": seconds / plain,
                    "kernel": None if rule is None else in_kernel,
                }
                rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--model", default="DiT-B/2")
    parser.add_argument("--batch", type=int, default=2, help="2 is one image with guidance")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--bf16", action="store_true", help="under autocast to bfloat16; otherwise float32")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = measure(arguments.model, arguments.batch, arguments.repeats, arguments.device, arguments.bf16)
    machine = torch.cuda.get_device_name() if arguments.device == "cuda" else platform.processor() or platform.machine()
    precision = "bfloat16" if arguments.bf16 else "float32"
    on = f"{precision}, {arguments.device} ({machine}), torch {torch.__version__}"
    print(f"{arguments.model}, batch {arguments.batch}, {on}, one thread")
    print(f"{'bias':28}{'tokens':>7}{'ms':>10}{'x plain':>9}  where")
    for row in rows:
        where = {None: "no bias", True: "in the kernel", False: "laid out"}[row["kernel"]]
        print(f"{row['bias']:28}{row['tokens']:7d}{row['ms']:10.1f}{row['ratio']:9.2f}  {where}")
    if arguments.out is not None:
        result = {"machine": machine, "torch": torch.__version__, **vars(arguments), "rows": rows}
        arguments.out.write_text(json.dumps(result | {"out": arguments.out.name}, indent=1) + "\n")


if __name__ == "__main__":
    main()
