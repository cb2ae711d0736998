"""Model-FLOPs utilisation of a training step on one CUDA device: DiT-B/2 and DiT-XL/2 at 256 tokens, bf16, compiled.

python -m benchmarks.gpu_training [--out FILE.json] [--models DiT-B/2,DiT-XL/2] [--batch N] [--steps N] [--eager]
python -m benchmarks.gpu_training --gpus N [--sharded]      how it scales over GPUs instead (several_gpus.py)

The step is a training's own: images gathered from a pool on the device, noise, labels, forward, backward, clipping,
fused AdamW and moving average. Model FLOPs are matrix products, forward times three (flops_per_forward); utilisation is
theirs over the time, against the data sheet's dense bf16 rate and against an 8,192 x 8,192 product measured here. The
same steps run once more with CUDA's synchronisation check on: the count of waits in the loop is part of the result.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from rpe2d_bench.config.experiment import Train
from rpe2d_bench.data.device_pool import placed, rows
from rpe2d_bench.encodings import Grid, build
from rpe2d_bench.models import Denoiser, DiT, flops_per_forward, preset
from rpe2d_bench.training.loop import Step, Training

# Dense bf16 FLOP/s by data sheet; the first name that is part of the device's counts.
SHEET = {"H200": 989e12, "H100 PCIe": 756e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "4090": 165e12}
TARGET = 0.45  # of the data sheet, on one H200
CHANNELS, NUM_CLASSES, SIDE = 4, 1000, 32  # latents of 256 px: 16 x 16 tokens at patch 2
RPE2D = {"kind": "axial_rope", "positions": {"kind": "random", "max_grid": [32, 32]}}
SPECS: dict[str, dict[str, Any]] = {"rope": {"kind": "axial_rope"}, "rpe2d": RPE2D}


class Pool:
    """Latents on the device, drawn as trainings draw them."""

    def __init__(self, device: torch.device, count: int = 4096) -> None:
        self.device = device
        self.latents = torch.randn(count, CHANNELS, SIDE, SIDE, device=device, dtype=torch.float16)
        self.labels = torch.arange(count, device=device) % NUM_CLASSES

    def batch(self, rng: Generator, batch_size: int) -> tuple[Tensor, Tensor, Tensor]:
        chosen = torch.randint(len(self.latents), (batch_size,), generator=rng)
        x = rows(self.latents, chosen, self.device).float()
        return x, self.labels[placed(chosen, self.device)], placed(torch.zeros(batch_size, 3), self.device)


def measured(
    model: str, encoding: str, batch: int, steps: int, compiled: bool, peaks: dict[str, float]
) -> dict[str, Any]:
    """One row; halves the batch where the device's memory does not hold it."""
    while True:
        try:
            return _measured(model, encoding, batch, steps, compiled, peaks)
        except torch.cuda.OutOfMemoryError:
            if batch == 1:
                raise
            batch //= 2
            torch.cuda.empty_cache()


def _measured(
    model: str, encoding: str, batch: int, steps: int, compiled: bool, peaks: dict[str, float]
) -> dict[str, Any]:
    options = preset(model)
    grid = Grid(SIDE // options.patch_size, SIDE // options.patch_size)
    recipe = Train(steps=10**9, batch_size=batch, lr=1e-4, betas=(0.9, 0.999), precision="bf16", compile=compiled)
    dit = DiT(options, channels=CHANNELS, num_classes=NUM_CLASSES, micro_conditioning=True)
    denoiser = Denoiser(dit, build(SPECS[encoding], width=options.width, heads=options.heads))
    training = Training(denoiser, recipe, grid, seed=0, device="cuda").steps(Pool(torch.device("cuda")))
    torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    _run(training, 10)
    warm_up = time.perf_counter() - started
    times = []
    for _ in range(3):  # the least disturbed counts
        started = time.perf_counter()
        _run(training, steps)
        times.append((time.perf_counter() - started) / steps)
    best = min(times)
    flops = 3 * batch * flops_per_forward(options, grid.tokens, CHANNELS)
    return {
        "model": model,
        "encoding": encoding,
        "tokens": grid.tokens,
        "batch": batch,
        "compiled": compiled,
        "seconds": best,
        "images_per_s": batch / best,
        "TFLOP_per_s": flops / best / 1e12,
        **{f"of_{name}": flops / best / peak for name, peak in peaks.items()},
        "GiB": torch.cuda.max_memory_allocated() / 2**30,
        "warm_up_s": warm_up,
        "waits_in_a_step": _waits(training),
    }


def _run(training: Iterator[Step], steps: int) -> None:
    for _ in range(steps):
        next(training)
    torch.cuda.synchronize()


def _waits(training: Iterator[Step], steps: int = 4) -> float:
    """How often the host waits for the device within a step, by CUDA's own check."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(steps):
                next(training)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in caught) / steps


def matrix_product_rate(side: int = 8192) -> float:
    """FLOP/s of a large bf16 product on random data."""
    a, b = (torch.randn(side, side, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(20):
        a @ b
    torch.cuda.synchronize()
    return 20 * 2 * side**3 / (time.perf_counter() - started)


def _several(arguments: argparse.Namespace) -> None:
    from benchmarks.several_gpus import efficiency

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    print(f"{device}, torch {torch.__version__}")
    rows = []
    for model in arguments.models.split(","):
        for encoding in arguments.encodings.split(","):
            sizes = {"batch": arguments.batch, "steps": arguments.steps, "sharded": arguments.sharded}
            found = efficiency(arguments.gpus, model, SPECS[encoding], **sizes)
            rows += [{"encoding": encoding, **row} for row in found]
    if arguments.out:
        result = {"device": device, "torch": str(torch.__version__), "rows": rows}
        arguments.out.write_text(json.dumps(result, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    parser.add_argument("--models", default="DiT-B/2,DiT-XL/2")
    parser.add_argument("--encodings", default="rope,rpe2d")
    parser.add_argument("--batch", type=int, default=256, help="halved where memory does not hold it")
    parser.add_argument("--steps", type=int, default=30, help="of a round")
    parser.add_argument("--eager", action="store_true", help="also without torch.compile")
    parser.add_argument("--gpus", type=int, help="one training on up to so many; --batch is then each one's")
    parser.add_argument("--sharded", action="store_true", help="with --gpus: as resources.sharded")
    arguments = parser.parse_args()
    if arguments.gpus:
        _several(arguments)
        return
    if not torch.cuda.is_available():
        print("gpu_training: skipped, PyTorch sees no CUDA device here")
        return
    device = torch.cuda.get_device_name()
    sheet = next((rate for name, rate in SHEET.items() if name in device), None)
    product = matrix_product_rate()
    peaks = ({"data_sheet": sheet} if sheet else {}) | {"matrix_product": product}
    result: dict[str, Any] = {
        "device": device, "torch": str(torch.__version__), "matrix_product_TFLOP_per_s": product / 1e12,
        "data_sheet_TFLOP_per_s": sheet and sheet / 1e12, "target_of_data_sheet": TARGET, "rows": [],
    }  # fmt: skip
    print(f"{device}, torch {torch.__version__}: matrix product {product / 1e12:.0f} TFLOP/s")
    for model in arguments.models.split(","):
        for encoding in arguments.encodings.split(","):
            for compiled in (True, False) if arguments.eager else (True,):
                row = measured(model, encoding, arguments.batch, arguments.steps, compiled, peaks)
                result["rows"].append(row)
                shares = ", ".join(f"{row[f'of_{name}']:.1%} of {name.replace('_', ' ')}" for name in peaks)
                print(
                    f"{model:9} {encoding:6} batch {row['batch']:4} {'compiled' if compiled else 'eager':8} "
                    f"{1e3 * row['seconds']:7.1f} ms, {row['TFLOP_per_s']:4.0f} TFLOP/s, {shares}, "
                    f"{row['GiB']:.0f} GiB, {row['waits_in_a_step']:g} waits",
                    flush=True,
                )
                if arguments.out:  # after every row: a time limit costs only what is under way
                    arguments.out.write_text(json.dumps(result, indent=1))
                torch.compiler.reset()
                torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
