"""Seconds and memory of the paired bootstrap of KID and FD over the number of images, two methods and one seed.

    python -m benchmarks.bootstrap [--images 2000 5000 20000 50000] [--width 64] [--resamples 4000] [--out FILE.json]

Each size runs in a process of its own, whose largest resident set is read when it ends. Above 5,000 images KID goes by
influences (`analysis/replicates.py`): memory grows with N then, not with N x N. `--spread` prints, instead, how wide
the influences' replicates are against the exact ones of the same draws, over how far two distributions are apart.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np

from rpe2d_bench.analysis import replicates
from rpe2d_bench.analysis.paired_bootstrap import compare

SCALES = (1.0, 1.02, 1.05, 1.1, 1.3)


def features(count: int, width: int, seed: int, scale: float = 1.0) -> np.ndarray:
    """Correlated, as a net's: a falling spectrum."""
    mixing = np.random.default_rng(0).standard_normal((width, width)) / np.arange(1, width + 1) ** 0.5
    drawn: np.ndarray = np.random.default_rng(seed).standard_normal((count, width)) @ mixing * scale
    return drawn.astype(np.float32)


def measured(count: int, width: int, resamples: int, metric: str) -> dict[str, Any]:
    """One comparison, in this process."""
    methods = {"one": [features(count, width, 1, 1.05)], "other": [features(count, width, 1, 1.1)]}
    reference = features(count, width, 2)
    started = time.perf_counter()
    compare(methods, reference, metric, resamples=resamples)  # type: ignore[arg-type]
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"metric": metric, "images": count, "width": width, "seconds": seconds, "bytes": peak}


def spread(count: int, width: int, resamples: int, scale: float) -> dict[str, float]:
    """Deviation of linear replicates over that of exact ones, the same draws."""
    one, other = features(count, width, 1, scale), features(count, width, 2)
    weights = [replicates.multinomial_weights(resamples, count, np.random.default_rng(seed)) for seed in (0, 1)]
    exact = replicates.kernel_replicates(one, other, *weights)
    value, ours, theirs = replicates.kernel_influences(one, other)
    linear = (weights[0] @ ours + weights[1] @ theirs) / count
    return {"scale": scale, "kid": value, "deviation": float(exact.std()), "ratio": float(linear.std() / exact.std())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[2000, 5000, 20_000, 50_000])
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--resamples", type=int, default=4000)
    parser.add_argument("--spread", action="store_true", help="linear against exact replicates, instead")
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    arguments = parser.parse_args()
    found: list[dict[str, Any]] = []
    if arguments.spread:
        for scale in SCALES:
            found.append(spread(arguments.images[0], arguments.width, arguments.resamples, scale))
            line = "scale {scale:.2f}: KID {kid:.4g}, deviation {deviation:.2g}, linear over exact {ratio:.3f}"
            print(line.format(**found[-1]), flush=True)
    for metric, count in [] if arguments.spread else [(m, n) for m in ("kid", "fd") for n in arguments.images]:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found.append(pool.apply(measured, (count, arguments.width, arguments.resamples, metric)))
        line = "{metric}, {images:,} images x {width}: {seconds:.1f} s, {mebibytes:,.0f} MiB"
        print(line.format(**found[-1], mebibytes=found[-1]["bytes"] / 2**20), flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
