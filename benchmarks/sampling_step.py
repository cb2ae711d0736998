"""Sampling with guidance: time of an image against the machine's matrix products and against the peers.

python -m benchmarks.sampling_step [--out FILE.json] [--device cpu|cuda] [--model NAME/PATCH] [--tokens 64,144,...]
                                   [--steps N] [--rounds N] [--no-peers]

An image takes `steps` Euler steps of two evaluations, which run in one batch; as many images run together as in a
sweep (resources.sample_batch), fewer where they have more tokens. `over the floor` divides by the time of the matrix
products alone. Peers run the same evaluations without a sampler or an encoding around them.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.limits import clock, floor, machine
from rpe2d_bench.config.experiment import Resources, Sampler
from rpe2d_bench.encodings import Grid, build
from rpe2d_bench.models import Denoiser, DiT, preset
from rpe2d_bench.models.cpu import keep_freed_memory
from rpe2d_bench.sampling.loop import sample

NUM_CLASSES = 10
TRAIN_GRID = Grid(8, 8)


def ours(arguments: argparse.Namespace, grid: Grid, batch: int, precision: str) -> None:
    """A batch of images by the product's own sampling loop."""
    options = preset(arguments.model)
    dit = DiT(options, channels=arguments.channels, num_classes=NUM_CLASSES).to(arguments.device)
    encoding = build({"kind": "axial_rope"}, width=options.width, heads=options.heads)
    resolution = (grid.height * options.patch_size, grid.width * options.patch_size)
    images = sample(
        Denoiser(dit, encoding),
        Sampler.model_validate({"steps": arguments.steps, "guidance": 2.0, "precision": precision}),
        resolution=resolution,
        train_grid=TRAIN_GRID,
        indices=np.arange(batch),
        seed=0,
        batch_size=batch,
        device=arguments.device,
    )
    for _ in images:
        pass


@torch.inference_mode()
def theirs(arguments: argparse.Namespace, model: nn.Module, grid: Grid, batch: int, precision: str) -> None:
    """The evaluations of a batch, conditional and unconditional together."""
    patch, device = preset(arguments.model).patch_size, arguments.device
    x = torch.randn(2 * batch, arguments.channels, grid.height * patch, grid.width * patch, device=device)
    labels = torch.arange(2 * batch, device=device) % NUM_CLASSES
    with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
        for step in range(arguments.steps):
            model(x, torch.full((2 * batch,), step / arguments.steps, device=device), labels)


def contenders(
    arguments: argparse.Namespace, grid: Grid, batch: int
) -> Iterator[tuple[str, str, Callable[[], object]]]:
    """(name, precision, a batch of images)."""
    options = preset(arguments.model)
    for precision in ("float32", "bf16"):
        yield "rpe2d-bench", precision, partial(ours, arguments, grid, batch, precision)
        if arguments.no_peers:
            continue
        from benchmarks.peers import DiffusersDiT, TimmDiT

        for name, peer in (("timm blocks", TimmDiT), ("diffusers", DiffusersDiT)):
            model = peer(options, grid, arguments.channels, NUM_CLASSES).to(arguments.device).eval()
            yield name, precision, partial(theirs, arguments, model, grid, batch, precision)


def measure(arguments: argparse.Namespace, tokens: int) -> list[dict[str, Any]]:
    """One row per contender."""
    grid = Grid(math.isqrt(tokens), math.isqrt(tokens))
    batch = max(1, round(Resources().sample_batch * TRAIN_GRID.tokens / tokens))
    running = list(contenders(arguments, grid, batch))
    times: list[list[float]] = [[] for _ in running]
    for repeat in range(arguments.rounds + 1):  # the first warms up
        for (_, _, call), measured in zip(running, times, strict=True):
            start = clock(arguments.device)
            call()
            if repeat:
                measured.append((clock(arguments.device) - start) / batch)
    rows = []
    for (name, precision, _), measured in zip(running, times, strict=True):
        limit = floor(
            preset(arguments.model),
            tokens=tokens,
            batch=2 * batch,
            precision=precision,
            device=arguments.device,
            channels=arguments.channels,
            backward=False,
        )
        lowest = arguments.steps * limit["seconds"] / batch
        rows.append(
            {
                "tokens": tokens,
                "batch": batch,
                "contender": name,
                "precision": precision,
                "seconds_per_image": min(measured),
                "floor_seconds": lowest,
                "over_the_floor": min(measured) / lowest,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--model", default="DiT-Mini/4")
    parser.add_argument("--tokens", default="64,144,256,576,1024")
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-peers", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # for the peers, too
    result: dict[str, Any] = {"machine": machine(arguments.device), "model": arguments.model, "rows": []}
    print(f"{arguments.model}, {arguments.steps} steps with guidance, {result['machine']['device']}, one thread")
    print(f"{'tokens':>6}{'batch':>6}  {'':14}{'precision':10}{'ms/image':>11}{'floor ms':>10}{'over it':>9}")
    for tokens in map(int, arguments.tokens.split(",")):
        for row in measure(arguments, tokens):
            result["rows"].append(row)
            ms, lowest = row["seconds_per_image"] * 1e3, row["floor_seconds"] * 1e3
            name = f"{tokens:6}{row['batch']:6}  {row['contender']:14}{row['precision']:10}"
            print(f"{name}{ms:11.1f}{lowest:10.1f}{row['over_the_floor']:9.2f}")
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
