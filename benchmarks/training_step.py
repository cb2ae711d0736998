"""A training step, forward to moving average: against the machine's matrix products and against the peers.

python -m benchmarks.training_step [--out FILE.json] [--device cpu|cuda] [--model NAME/PATCH] [--tokens 64,256]
                                   [--batch N] [--rounds N] [--compile] [--no-peers] [--gradients]

All contenders train in turn, round by round in one process and on one thread, so that a busy machine slows all of them;
the least disturbed round of each counts. `of the limit` is the time of the step's matrix products alone, at this
machine's rate for their shapes and precision, over the time of the step: on a GPU the model FLOPs utilisation.
`x timm` is how many times as fast as timm's blocks in float32; `same` is that ratio within one precision, median of the
rounds, each over the round of timm's blocks beside it. --gradients times the forward and backward pass alone.

As on a processor without AVX-512, with these before the command:
ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from benchmarks.limits import clock, floor, machine
from rpe2d_bench.config.experiment import Train
from rpe2d_bench.encodings import Context, Grid, build
from rpe2d_bench.models import Denoiser, DiT, preset
from rpe2d_bench.models.cpu import keep_freed_memory
from rpe2d_bench.training.loop import Training

NUM_CLASSES = 10
SPEC = {"kind": "axial_rope"}


class Noise:
    """Ready images on the device, so that the step alone is timed."""

    def __init__(self, batch: int, channels: int, side: int, device: str) -> None:
        self.x = torch.rand(batch, channels, side, side, device=device) * 2 - 1
        self.labels = torch.arange(batch, device=device) % NUM_CLASSES
        self.crops = torch.zeros(batch, 3, device=device)

    def batch(self, rng: Generator, batch_size: int) -> tuple[Tensor, Tensor, Tensor]:
        return self.x, self.labels, self.crops


def gradients(model: nn.Module, velocity: Callable[[], Tensor], precision: str, device: str) -> None:
    """Forward and backward pass, without clipping, optimizer and moving average."""
    with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
        predicted = velocity()
    F.mse_loss(predicted.float(), torch.zeros_like(predicted, dtype=torch.float32)).backward()
    model.zero_grad(set_to_none=True)


def contenders(arguments: argparse.Namespace, grid: Grid) -> Iterator[tuple[str, str, Callable[[], object]]]:
    """(name, precision, one step) of ours and of the peers."""
    device, options = arguments.device, preset(arguments.model)
    noise = Noise(arguments.batch, arguments.channels, grid.height * options.patch_size, device)
    t = torch.rand(arguments.batch, device=device)
    context = Context(grid, grid, t, batch=arguments.batch)
    precisions = ("float32", "bf16") if device == "cpu" else ("bf16",)
    for precision in precisions:
        for compiled in (False, True) if arguments.compile else (False,):
            recipe = Train(steps=10**9, batch_size=arguments.batch, precision=precision, compile=compiled)
            dit = DiT(options, channels=arguments.channels, num_classes=NUM_CLASSES)
            denoiser = Denoiser(dit, build(SPEC, width=options.width, heads=options.heads))
            name = "rpe2d-bench" + (", compiled" if compiled else "")
            if arguments.gradients:
                dit = torch.compile(denoiser.to(device).dit) if compiled else denoiser.to(device).dit
                velocity = partial(dit, noise.x, t, noise.labels, denoiser.encoding(context))
                yield name, precision, partial(gradients, denoiser, velocity, precision, device)
            else:
                steps = Training(denoiser, recipe, grid, seed=0, device=device).steps(noise)
                yield name, precision, partial(next, steps)
        if arguments.no_peers:
            continue
        from benchmarks.peers import DiffusersDiT, PlainTraining, TimmDiT

        for name, peer in (("timm blocks", TimmDiT), ("diffusers", DiffusersDiT)):
            training = PlainTraining(peer(options, grid, arguments.channels, NUM_CLASSES), precision, device)
            if arguments.gradients:
                velocity = partial(training.model, noise.x, t, noise.labels)
                yield name, precision, partial(gradients, training.model, velocity, precision, device)
            else:
                yield name, precision, partial(training.step, noise.x, noise.labels)


def measure(arguments: argparse.Namespace, tokens: int) -> list[dict[str, Any]]:
    """One row per contender."""
    grid = Grid(math.isqrt(tokens), math.isqrt(tokens))
    running = list(contenders(arguments, grid))
    times: list[list[float]] = [[] for _ in running]
    for repeat in range(arguments.rounds + 1):  # the first warms up
        for (_, _, step), measured in zip(running, times, strict=True):
            start = clock(arguments.device)
            for _ in range(arguments.steps):
                step()
            if repeat:
                measured.append((clock(arguments.device) - start) / arguments.steps)
    shape: dict[str, Any] = {"tokens": tokens, "batch": arguments.batch, "channels": arguments.channels}
    limits = {
        precision: floor(preset(arguments.model), precision=precision, device=arguments.device, **shape)
        for precision in {precision for _, precision, _ in running}
    }
    rows = []
    for (name, precision, _), measured in zip(running, times, strict=True):
        best, limit = min(measured), limits[precision]
        rows.append(
            {
                "tokens": tokens,
                "contender": name,
                "precision": precision,
                "seconds": best,
                "images_per_s": arguments.batch / best,
                "GFLOP_per_s": limit["flops"] / best / 1e9,
                "of_the_limit": limit["seconds"] / best,
            }
        )
    timm = {row["precision"]: at for at, row in enumerate(rows) if row["contender"] == "timm blocks"}
    for row, measured in zip(rows, times, strict=True):
        row["over_timm"] = row["over_timm_same_precision"] = None
        if timm:
            row["over_timm"] = rows[min(timm.values())]["seconds"] / row["seconds"]
            beside = times[timm[row["precision"]]]
            ratios = [theirs / ours for theirs, ours in zip(beside, measured, strict=True)]
            row["over_timm_same_precision"] = statistics.median(ratios)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--model", default="DiT-Mini/4")
    parser.add_argument("--tokens", default="64,256")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="steps of a round")
    parser.add_argument("--compile", action="store_true", help="ours also with torch.compile")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--gradients", action="store_true", help="the forward and backward pass alone")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # for the peers, too
    result: dict[str, Any] = {"machine": machine(arguments.device), "model": arguments.model, "rows": []}
    where = f"{result['machine']['device']}, {result['machine']['instructions']}"
    print(f"{arguments.model}, batch {arguments.batch}, {where}, one thread")
    heads = f"{'ms':>8}{'images/s':>12}{'GFLOP/s':>9}{'of limit':>10}{'x timm':>8}{'same':>6}"
    print(f"{'tokens':>6}  {'':22}{'precision':10}{heads}")
    for tokens in map(int, arguments.tokens.split(",")):
        for row in measure(arguments, tokens):
            result["rows"].append(row)
            over = f"{row['over_timm']:8.2f}{row['over_timm_same_precision']:6.2f}" if row["over_timm"] else ""
            print(
                f"{tokens:6}  {row['contender']:22}{row['precision']:10}{row['seconds'] * 1e3:8.1f}"
                f"{row['images_per_s']:12.0f}{row['GFLOP_per_s']:9.0f}{row['of_the_limit']:10.0%}{over}"
            )
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
