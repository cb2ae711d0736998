"""What this machine can do: matrix products at the model's own shapes, and copying. The other benchmarks divide by it.

python -m benchmarks.limits [--out FILE.json] [--device cpu|cuda] [--model NAME/PATCH] [--tokens N] [--batch N]

The floor of a step is the time of its matrix products alone, each timed by itself in its shape and layout.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rpe2d_bench.models import DiTOptions, preset

# An ordinary processor on one that has more: torch's kernels, oneDNN (bfloat16 products) and MKL (float32 products, on
# Intel only: elsewhere it takes AVX2 anyway)
ISA_LIMITS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")
DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}


def clock(device: str) -> float:
    """Processor time of this process on a CPU (others may be busy beside it), wall time of finished work elsewhere."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def seconds(call: Callable[[], object], device: str, *, rounds: int = 5, minimum: float = 0.02) -> float:
    """Seconds of a call: the least disturbed of some rounds, each long enough to be timed."""
    call()
    start = clock(device)
    call()
    calls = max(1, round(minimum / max(clock(device) - start, 1e-7)))
    times = []
    for _ in range(rounds):
        start = clock(device)
        for _ in range(calls):
            call()
        times.append((clock(device) - start) / calls)
    return min(times)


def median_seconds(call: Callable[[], object], repeats: int, device: str) -> float:
    """Median wall time of a call after one that warms up."""
    times = []
    for _ in range(repeats + 1):
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def machine(device: str) -> dict[str, Any]:
    """What the numbers were measured on."""
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    limits = {name: os.environ[name] for name in ISA_LIMITS if name in os.environ}
    return {
        "device": name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "instructions": torch.backends.cpu.get_cpu_capability(),  # of torch's own kernels
        "instructions_limited_by": limits,
    }


def copy_bandwidth(device: str) -> float:
    """Bytes read and written in a second by a copy of 256 MiB, larger than any cache."""
    source = torch.ones(1 << 28, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / seconds(lambda: target.copy_(source), device, minimum=0.1)


def products(options: DiTOptions, tokens: int, batch: int, channels: int) -> list[tuple[int, int, int, int, int]]:
    """(times per pass, batch of products, m, k, n) of every matrix product of a forward pass."""
    width, hidden, heads = options.width, int(options.width * options.mlp_ratio), options.heads
    rows, patch = batch * tokens, channels * options.patch_size**2
    return [
        (options.depth, 1, rows, width, 3 * width),
        (options.depth, batch * heads, tokens, width // heads, tokens),
        (options.depth, batch * heads, tokens, tokens, width // heads),
        (options.depth, 1, rows, width, width),
        (options.depth, 1, rows, width, hidden),
        (options.depth, 1, rows, hidden, width),
        (options.depth, 1, batch, width, 6 * width),
        (1, 1, rows, patch, width),
        (1, 1, rows, width, patch),
    ]


def floor(
    options: DiTOptions,
    *,
    tokens: int,
    batch: int,
    precision: str,
    device: str,
    channels: int = 1,
    backward: bool = True,
    rounds: int = 5,
) -> dict[str, float]:
    """Seconds and FLOPs of a step's matrix products: forward, and for the backward pass both gradients of each."""
    total, flops = 0.0, 0.0
    for times, outer, m, k, n in products(options, tokens, batch, channels):
        x, y, d = (torch.randn(outer, *s, device=device, dtype=DTYPES[precision]) for s in ((m, k), (k, n), (m, n)))
        if outer == 1:
            x, y, d = x[0], y[0], d[0]
        passes: list[tuple[Tensor, Tensor]] = [(x, y)]
        if backward:
            passes += [(d, y.mT), (x.mT, d)]
        for left, right in passes:
            # stored either way round: weights are, and so are keys and values
            layouts = [(left, right), (left, right.mT.contiguous().mT)]
            calls = [partial(torch.matmul, *layout) for layout in layouts]
            total += times * min(seconds(call, device, rounds=rounds, minimum=0.005) for call in calls)
            flops += times * 2.0 * outer * m * k * n
    return {"seconds": total, "flops": flops}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--model", default="DiT-Mini/4")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    bandwidth = copy_bandwidth(arguments.device)
    result: dict[str, Any] = {"machine": machine(arguments.device), "copy_GB_per_s": bandwidth / 1e9, "products": []}
    print(f"copy {bandwidth / 1e9:.0f} GB/s (read and written)")
    print(f"matrix products of a step of {arguments.model}, {arguments.tokens} tokens, batch {arguments.batch}:")
    for precision in DTYPES:
        shape = {"tokens": arguments.tokens, "batch": arguments.batch}
        limit = floor(preset(arguments.model), precision=precision, device=arguments.device, **shape)
        rate = limit["flops"] / limit["seconds"] / 1e9
        print(f"{precision:10}{limit['seconds'] * 1e3:9.1f} ms{rate:9.0f} GFLOP/s")
        result["products"].append({"precision": precision, **shape, **limit})
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
