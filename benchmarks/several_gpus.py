"""How a training scales over the GPUs of one machine: `python -m benchmarks.gpu_training --gpus N [--sharded]`.

1, 2, 4, ... N processes train one model, as `resources.gpus_per_trial` does, each with the same number of images a
step; efficiency is images a second over so many times what one process does. Every process draws the whole batch, as in
a training, so that this cost counts. Without CUDA the processes share the CPU, over gloo: its numbers say nothing.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from rpe2d_bench.config.experiment import Train
from rpe2d_bench.encodings import Grid, build
from rpe2d_bench.models import Denoiser, DiT, preset
from rpe2d_bench.training.distributed import Ranks
from rpe2d_bench.training.loop import Training


def efficiency(
    gpus: int, model: str, spec: dict[str, Any], *, batch: int, steps: int, sharded: bool
) -> list[dict[str, Any]]:
    """A row for each number of processes; batch: images of one process in a step. Raises what a process raises."""
    rows: list[dict[str, Any]] = []
    counts = [count for count in (2**power for power in range(gpus.bit_length())) if count < gpus]
    for world in [*counts, gpus]:
        with tempfile.TemporaryDirectory() as folder:
            arguments = (world, folder, model, spec, batch, steps, sharded)
            torch.multiprocessing.spawn(_process, arguments, nprocs=world)  # type: ignore[no-untyped-call]
            row = json.loads((Path(folder) / "row.json").read_text())
        row["efficiency"] = row["images_per_s"] / (world * (rows or [row])[0]["images_per_s"])
        rows.append(row)
        print(
            f"{model:9} {'sharded' if sharded else 'replicas':8} {world:3} processes, batch {batch * world:5}: "
            f"{1e3 * row['seconds']:8.1f} ms, {row['images_per_s']:7.0f} images/s, efficiency {row['efficiency']:.0%}, "
            f"{row['GiB']:.1f} GiB each",
            flush=True,
        )
    return rows


def _process(
    rank: int, world: int, folder: str, model: str, spec: dict[str, Any], batch: int, steps: int, sharded: bool
) -> None:
    """One of the processes; the first writes the row."""
    from benchmarks.gpu_training import CHANNELS, NUM_CLASSES, SIDE, Pool

    cuda = torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    if cuda:
        torch.cuda.set_device(rank)
    else:
        torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "nccl" if cuda else "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world
    )
    options = preset(model)
    grid = Grid(SIDE // options.patch_size, SIDE // options.patch_size)
    recipe = Train(
        steps=10**9, batch_size=batch * world, lr=1e-4, precision="bf16" if cuda else "float32", compile=cuda
    )
    torch.manual_seed(0)
    dit = DiT(options, channels=CHANNELS, num_classes=NUM_CLASSES, micro_conditioning=True)
    denoiser = Denoiser(dit, build(spec, width=options.width, heads=options.heads))
    training = Training(denoiser, recipe, grid, seed=0, device=device.type, ranks=Ranks(rank, world, sharded))
    made = training.steps(Pool(device))

    def rounds(count: int) -> float:
        torch.distributed.barrier()
        began = time.perf_counter()
        for _ in range(count):
            step = next(made)
        step.loss.item()  # waits for the device
        return (time.perf_counter() - began) / count

    rounds(3)
    seconds = min(rounds(steps) for _ in range(3))  # the least disturbed counts
    if rank == 0:
        memory = torch.cuda.max_memory_allocated() / 2**30 if cuda else 0.0
        row = {"model": model, "sharded": sharded, "processes": world, "batch": batch * world, "seconds": seconds,
               "images_per_s": batch * world / seconds, "GiB": memory}  # fmt: skip
        (Path(folder) / "row.json").write_text(json.dumps(row))
    torch.distributed.barrier()
    os._exit(0)  # threads of the group outlive Python, and would crash it
