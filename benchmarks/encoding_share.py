"""What an encoding costs: its share of a DiT-B/2 forward pass at 256 and 1,024 tokens.

python -m benchmarks.encoding_share [--out FILE.json] [--device cpu|cuda] [--batch N] [--repeats N]

Every stateless method of the tables is timed as the model meets it: one call per forward pass, with the cosines and
sines that attention multiplies by, time-dependent methods with a t for every sample, random positions both at inference
and while drawing. The forward pass is timed with the encoding already computed; the share is encoding / (encoding +
forward), from medians. The limit is 2 %.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.limits import median_seconds
from rpe2d_bench.encodings import FREQUENCIES, LOGIT_SCALES, POSITIONS, Context, Grid, PositionalEncoding, build
from rpe2d_bench.models import DiT, DiTOptions, preset
from rpe2d_bench.models.attention import Rotation, rotation_of

LIMIT = 0.02
TRAIN = Grid(16, 16)
GRIDS = (Grid(16, 16), Grid(32, 32))


def methods() -> Iterator[tuple[str, dict[str, Any], bool]]:
    """(label, spec, whether it draws) of every stateless method."""
    for part, table in (("positions", POSITIONS), ("frequencies", FREQUENCIES), ("logit_scale", LOGIT_SCALES)):
        for name, cls in sorted(table.items()):
            spec = {"kind": "axial_rope", part: {"kind": name, **getattr(cls, "example", {})}}
            yield f"{part} {name}", spec, False
            if name in ("random", "shift_scale_jitter"):
                yield f"{part} {name}, drawn", spec, True
    yield "axial_sincos", {"kind": "axial_sincos"}, False
    random = {"kind": "random", **POSITIONS["random"].example}  # type: ignore[attr-defined]
    yield "axial_sincos random, drawn", {"kind": "axial_sincos", "positions": random}, True
    for name in ("golden_gate", "partial_rope", "spiral", "none"):
        yield name, {"kind": name}, False


def context(grid: Grid, batch: int, device: str, draws: bool) -> Context:
    t = torch.full((batch,), 0.5, device=device)
    rng = torch.Generator(device).manual_seed(0) if draws else None
    return Context(grid=grid, train_grid=grid if draws else TRAIN, t=t, rng=rng, batch=batch)


def prepared(encoding: PositionalEncoding, ctx: Context, options: DiTOptions) -> Rotation:
    """All that is done once per forward pass: the encoding, and the cosines and sines attention multiplies by."""
    like = torch.empty(0, device=ctx.t.device if ctx.t is not None else None)
    return rotation_of(encoding(ctx), options.heads, options.head_width, like)


def measure(batch: int, repeats: int, device: str) -> list[dict[str, Any]]:
    """One row per method and grid."""
    options = preset("DiT-B/2")
    model = DiT(options, channels=4, num_classes=1000).to(device).eval()
    forward_seconds = {}
    plain = build({"kind": "axial_rope"}, width=options.width, heads=options.heads)
    for grid in GRIDS:
        x = torch.randn(batch, 4, grid.height * 2, grid.width * 2, device=device)
        labels = torch.zeros(batch, dtype=torch.long, device=device)
        ctx = context(grid, batch, device, draws=False)
        ready = plain(ctx)
        with torch.inference_mode():
            forward = partial(model, x, ctx.t, labels, ready)
            forward_seconds[grid] = median_seconds(forward, max(repeats // 10, 3), device)
    rows = []
    for label, spec, draws in methods():
        encoding = build(spec, width=options.width, heads=options.heads).to(device)
        for grid in GRIDS:
            ctx = context(grid, batch, device, draws)
            with torch.inference_mode():
                seconds = median_seconds(partial(prepared, encoding, ctx, options), repeats, device)
            share = seconds / (seconds + forward_seconds[grid])
            rows.append(
                {
                    "method": label,
                    "tokens": grid.tokens,
                    "encoding_ms": seconds * 1e3,
                    "forward_ms": forward_seconds[grid] * 1e3,
                    "share": share,
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--batch", type=int, default=2, help="2 is one image with guidance")
    parser.add_argument("--repeats", type=int, default=30)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = measure(arguments.batch, arguments.repeats, arguments.device)
    machine = torch.cuda.get_device_name() if arguments.device == "cuda" else platform.processor() or platform.machine()
    print(f"DiT-B/2, batch {arguments.batch}, {arguments.device} ({machine}), torch {torch.__version__}, one thread")
    print(f"{'method':40}{'tokens':>7}{'encoding ms':>13}{'forward ms':>12}{'share':>9}")
    for row in sorted(rows, key=lambda row: (row["tokens"], -row["share"])):
        print(
            f"{row['method']:40}{row['tokens']:7d}{row['encoding_ms']:13.3f}{row['forward_ms']:12.1f}{row['share']:9.3%}"
        )
    worst = max(rows, key=lambda row: row["share"])
    print(f"worst: {worst['method']} at {worst['tokens']} tokens, {worst['share']:.3%} (limit {LIMIT:.0%})")
    if arguments.out is not None:
        result = {
            "model": "DiT-B/2",
            "batch": arguments.batch,
            "device": arguments.device,
            "machine": machine,
            "torch": torch.__version__,
            "limit": LIMIT,
            "rows": rows,
        }
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    raise SystemExit(worst["share"] > LIMIT)


if __name__ == "__main__":
    main()
