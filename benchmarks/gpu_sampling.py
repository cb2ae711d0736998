"""Images a second of sampling on one CUDA device, eager and compiled: DiT-B/2, DiT-XL/2 at 256 and 1,024 tokens, bf16.

python -m benchmarks.gpu_sampling [--out FILE.json] [--models DiT-B/2,DiT-XL/2] [--tokens 256,1024] [--batch N]
                                  [--steps N] [--encodings rope,rpe2d] [--device cuda|cpu]

The loop is the product's own: latents as of 256 px and 512 px, Euler steps of two evaluations (guidance), three
batches, images to the host. Model FLOPs are matrix products (flops_per_forward); utilisation is theirs over the time,
against the data sheet's dense bf16 rate and against an 8,192 x 8,192 product measured here. Waits of the host in a step
are what CUDA's synchronisation check reports for twice the steps beyond what it reports for them. On a CPU there are
neither; it says that the benchmark runs.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.gpu_training import CHANNELS, NUM_CLASSES, SHEET, SPECS, matrix_product_rate
from rpe2d_bench.config.experiment import Sampler
from rpe2d_bench.encodings import Grid, build
from rpe2d_bench.models import Denoiser, DiT, flops_per_forward, preset
from rpe2d_bench.sampling.loop import sample

TRAIN_GRID = Grid(16, 16)
BATCHES = 3


def sampled(denoiser: Denoiser, tokens: int, batch: int, batches: int, steps: int, compiled: bool, device: str) -> None:
    """Images, and nothing else is done with them."""
    side = math.isqrt(tokens) * denoiser.dit.options.patch_size
    options = Sampler(steps=steps, guidance=1.5, precision="bf16", compile=compiled)
    for _ in sample(
        denoiser, options, resolution=(side, side), train_grid=TRAIN_GRID, indices=np.arange(batches * batch), seed=0,
        batch_size=batch, device=device,
    ):  # fmt: skip
        pass


def measured(
    model: str, encoding: str, tokens: int, batch: int, steps: int, compiled: bool, device: str, peaks: dict[str, float]
) -> dict[str, Any]:
    """One row."""
    options = preset(model)
    dit = DiT(options, channels=CHANNELS, num_classes=NUM_CLASSES, micro_conditioning=True)
    denoiser = Denoiser(dit, build(SPECS[encoding], width=options.width, heads=options.heads)).to(device).eval()
    run = partial(sampled, denoiser, tokens, batch, compiled=compiled, device=device)
    started = time.perf_counter()
    run(1, steps)
    run(1, steps)  # a CUDA graph is recorded at the second call
    warm_up, times = time.perf_counter() - started, []
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for _ in range(2):  # the less disturbed counts
        started = time.perf_counter()
        run(BATCHES, steps)
        times.append(time.perf_counter() - started)
    images = BATCHES * batch
    flops = images * steps * 2 * flops_per_forward(options, tokens, CHANNELS)
    row = {
        "model": model, "encoding": encoding, "tokens": tokens, "batch": batch, "steps": steps, "compiled": compiled,
        "seconds": min(times), "images_per_s": images / min(times), "TFLOP_per_s": flops / min(times) / 1e12,
        **{f"of_{name}": flops / min(times) / peak for name, peak in peaks.items()}, "warm_up_s": warm_up,
    }  # fmt: skip
    if device == "cuda":
        row["GiB"] = torch.cuda.max_memory_allocated() / 2**30
        row["waits_in_a_step"] = (_waits(partial(run, 1, 2 * steps)) - _waits(partial(run, 1, steps))) / steps
    return row


def _waits(work: Any) -> int:
    """How often the host waits for the device, by CUDA's own check."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            work()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in caught)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    parser.add_argument("--models", default="DiT-B/2,DiT-XL/2")
    parser.add_argument("--tokens", default="256,1024")
    parser.add_argument("--encodings", default="rope")
    parser.add_argument("--batch", type=int, default=64, help="images together at 256 tokens, fewer on larger grids")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    arguments = parser.parse_args()
    on_cuda = arguments.device == "cuda"
    if on_cuda and not torch.cuda.is_available():
        print("gpu_sampling: skipped, PyTorch sees no CUDA device here")
        return
    device, peaks = "cpu", {}
    if on_cuda:
        device = torch.cuda.get_device_name()
        sheet = next((rate for name, rate in SHEET.items() if name in device), None)
        peaks = ({"data_sheet": sheet} if sheet else {}) | {"matrix_product": matrix_product_rate()}
    print(f"{device}, torch {torch.__version__}")
    result: dict[str, Any] = {"device": device, "torch": str(torch.__version__), "rows": []}
    for model in arguments.models.split(","):
        for encoding in arguments.encodings.split(","):
            for tokens in map(int, arguments.tokens.split(",")):
                batch = max(1, round(arguments.batch * TRAIN_GRID.tokens / tokens))
                for compiled in (False, True):
                    row = measured(model, encoding, tokens, batch, arguments.steps, compiled, arguments.device, peaks)
                    result["rows"].append(row)
                    shares = "".join(f", {row[f'of_{name}']:.1%} of {name.replace('_', ' ')}" for name in peaks)
                    waits = f", {row['waits_in_a_step']:g} waits a step" if on_cuda else ""
                    what = f"{model:9} {encoding:6} {tokens:5} tokens batch {batch:3}"
                    print(
                        f"{what} {'compiled' if compiled else 'eager':8} "
                        f"{row['images_per_s']:8.2f} images/s, {row['TFLOP_per_s']:.3g} TFLOP/s{shares}{waits}",
                        flush=True,
                    )
                    if arguments.out:  # after every row: a time limit costs only what is under way
                        arguments.out.write_text(json.dumps(result, indent=1))
                if on_cuda:
                    torch.compiler.reset()
                    torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
