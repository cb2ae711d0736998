"""Whether a training on one CUDA device gives the same losses alone, through DDP and through FSDP2.

python -m benchmarks.gpu_parity [--out FILE.json] [--device cuda|cpu] [--steps N]

Alone; two processes on the same device, as resources.gpus_per_trial: 2 has them, but over gloo, since NCCL takes a GPU
once; one process divided by FSDP2 over NCCL (gloo on a CPU). float32, a small model, random positions. Ends with exit
code 1 where a loss is further than 1e-4 from the first. Two GPUs and NCCL between them need two GPUs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.gpu_training import CHANNELS, NUM_CLASSES, RPE2D, SIDE, Pool
from rpe2d_bench.config.experiment import Train
from rpe2d_bench.encodings import Grid, build
from rpe2d_bench.models import Denoiser, DiT, preset
from rpe2d_bench.training.distributed import Ranks
from rpe2d_bench.training.loop import Training

APART = 1e-4  # of losses near 1


@dataclass(frozen=True)
class Divided(Ranks):
    """One process that divides its weights nevertheless."""

    @property
    def divided(self) -> bool:
        return True


def losses(device: str, steps: int, ranks: Ranks) -> list[float]:
    """Of the first steps of a training."""
    options = preset("DiT-Nano/4")
    torch.manual_seed(0)
    dit = DiT(options, channels=CHANNELS, num_classes=NUM_CLASSES, micro_conditioning=True)
    denoiser = Denoiser(dit, build(RPE2D, width=options.width, heads=options.heads))
    recipe = Train(steps=steps, batch_size=8, lr=1e-3, warmup=1, precision="float32")
    side = SIDE // options.patch_size
    torch.manual_seed(0)  # of the pool
    pool = Pool(torch.device(device), count=64)
    training = Training(denoiser, recipe, Grid(side, side), seed=0, device=device, ranks=ranks)
    return [step.loss.item() for step in training.steps(pool)]


def _process(rank: int, folder: str, device: str, steps: int, backend: str, all_ranks: list[Ranks]) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        backend, init_method=f"file://{folder}/meet", rank=rank, world_size=len(all_ranks)
    )
    found = losses(device, steps, all_ranks[rank])
    if rank == 0:
        (Path(folder) / "losses.json").write_text(json.dumps(found))
    torch.distributed.barrier()
    os._exit(0)  # threads of the group outlive Python, and would crash it


def in_processes(device: str, steps: int, backend: str, all_ranks: list[Ranks]) -> list[float]:
    """Of the first of so many. Raises what a process raises."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = (folder, device, steps, backend, all_ranks)
        torch.multiprocessing.spawn(_process, arguments, nprocs=len(all_ranks))  # type: ignore[no-untyped-call]
        found: list[float] = json.loads((Path(folder) / "losses.json").read_text())
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--steps", type=int, default=5)
    arguments = parser.parse_args()
    device, steps = arguments.device, arguments.steps
    if device == "cuda" and not torch.cuda.is_available():
        print("gpu_parity: skipped, PyTorch sees no CUDA device here")
        return
    alone = losses(device, steps, Ranks())
    print(f"alone: {', '.join(f'{loss:.6f}' for loss in alone)}")
    backend = "nccl" if device == "cuda" else "gloo"
    ways: dict[str, tuple[str, list[Ranks]]] = {
        "DDP, two processes over gloo": ("gloo", [Ranks(0, 2), Ranks(1, 2)]),
        f"FSDP2, one process over {backend}": (backend, [Divided()]),
    }
    rows = {}
    for name, (over, all_ranks) in ways.items():
        try:
            found = in_processes(device, steps, over, all_ranks)
            rows[name] = max(abs(a - b) for a, b in zip(found, alone, strict=True))
            print(f"{name}: {rows[name]:.1e} apart at the most", flush=True)
        except Exception as error:  # the other way is still tried
            rows[name] = float("inf")
            print(f"{name}: {type(error).__name__}: {str(error).strip().splitlines()[-1]}", flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps({"device": device, "losses": alone, "apart": rows}, indent=1))
    sys.exit(any(not apart < APART for apart in rows.values()))


if __name__ == "__main__":
    main()
