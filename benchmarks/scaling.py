"""How time and memory grow: with tokens, batch and model of a training step; with methods, sizes, workers of a sweep.

python -m benchmarks.scaling [--out FILE.json] [--figure FILE.svg] [--curve NAME ...]

Every point runs in a process of its own, so that its peak memory is its own. A sweep is a small experiment run from an
empty store (`training` and `sampling` are the seconds of its stages, `wall` what a user waits, with start-up and report
left out); the workers are Ray's.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

CURVES: dict[str, list[dict[str, Any]]] = {
    "tokens": [{"tokens": n} for n in (64, 144, 256, 576)],
    "batch": [{"batch": n} for n in (16, 32, 64, 128)],
    "model": [{"model": f"DiT-{name}/4"} for name in ("Nano", "Mini", "Tiny")],
    "methods": [{"methods": n} for n in (1, 2, 4)],
    "test resolutions": [{"sizes": n} for n in (1, 2, 4)],
    "workers": [{"workers": n, "seeds": 4, "steps": 300} for n in (1, 2)],  # long enough for Ray to have begun
}
FREQUENCIES = ("none", "ntk", "yarn", "interpolated")
STEPS, ROUNDS = 3, 4


def training_step(tokens: int = 64, batch: int = 16, model: str = "DiT-Mini/4") -> dict[str, float]:
    """Seconds of the least disturbed round of steps."""
    import torch

    from benchmarks.training_step import NUM_CLASSES, SPEC, Noise
    from rpe2d_bench.config.experiment import Train
    from rpe2d_bench.encodings import Grid, build
    from rpe2d_bench.models import Denoiser, DiT, flops_per_forward, preset
    from rpe2d_bench.models.cpu import keep_freed_memory
    from rpe2d_bench.training.loop import Training

    torch.set_num_threads(1)
    keep_freed_memory()
    options, grid = preset(model), Grid(math.isqrt(tokens), math.isqrt(tokens))
    recipe = Train(steps=10**9, batch_size=batch, precision="bf16", optimizer="muon")
    dit = DiT(options, channels=1, num_classes=NUM_CLASSES)
    training = Training(Denoiser(dit, build(SPEC, width=options.width, heads=options.heads)), recipe, grid, seed=0)
    steps = training.steps(Noise(batch, 1, grid.height * options.patch_size, "cpu"))
    next(steps)
    rounds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(STEPS):
            next(steps)
        rounds.append((time.process_time() - start) / STEPS)
    flops = 3 * batch * flops_per_forward(options, tokens, 1)
    return {"step": min(rounds), "GFLOP_per_s": flops / min(rounds) / 1e9}


def sweep(methods: int = 1, sizes: int = 1, workers: int = 1, seeds: int = 1, steps: int = 60) -> dict[str, float]:
    """A small experiment from an empty store."""
    from rpe2d_bench.config.experiment import Experiment
    from rpe2d_bench.plan.expand import make_plan
    from rpe2d_bench.runner import run
    from rpe2d_bench.storage.store import Store

    model = {"encoding": {"kind": "axial_rope", "theta": 100}}
    chosen = {name: {"model": "rope", "frequencies": {"kind": name}} for name in FREQUENCIES[1:methods]}
    experiment = Experiment.model_validate({
        "schema_version": 1, "name": "scaling", "seeds": list(range(seeds)), "data": {"name": "glyphs"},
        "model": {"preset": "DiT-Mini/4"}, "models": {"rope": model},
        "train": {"steps": steps, "precision": "bf16", "optimizer": "muon", "num_pictures": 2000},
        "methods": {"extrapolation": {"model": "rope"}, **chosen},
        "resolutions": [{"train": 32, "test": [48, 40, 56, 64][:sizes]}],
        "evaluate": {"sampler": {"steps": 8, "precision": "bf16"}, "num_samples": 64, "metrics": ["kid"]},
        "resources": {"trials_in_parallel": workers},
    })  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        found = run(make_plan(experiment), Store(Path(folder)), engine="ray" if workers > 1 else "local")
        wall = time.perf_counter() - started
    cells = [record for record in found if record.stage == "measure"]
    return {
        "wall": wall,
        "training": sum(record.timings["train"] for record in found if record.stage == "train"),
        "sampling": sum(record.timings["sample"] for record in cells),
        "measuring": sum(record.timings["measure"] for record in cells),
    }


def point(case: dict[str, Any]) -> dict[str, Any]:
    """One point in a fresh process, with the peak memory in MiB of its largest process, Ray's workers included."""
    command = [sys.executable, "-m", "benchmarks.scaling", "--case", json.dumps(case)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        largest = 0
        while running.poll() is None:
            largest = max(largest, _largest_below(running.pid))
            time.sleep(0.5)
        assert running.stdout is not None
        sentence = running.stdout.read()
    if running.returncode:
        raise SystemExit(f"the case {case} ended with {running.returncode}")
    values = dict(json.loads(sentence.splitlines()[-1]))
    return values | {"peak_MiB": max(values["peak_MiB"], largest / 2**20)}


def _largest_below(pid: int) -> int:
    """Bytes that the largest child process holds now; Ray's workers are nobody's to wait for, so getrusage is blind."""
    held = [0]
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            held.append(process.memory_info().rss)
    return max(held)


def run_case(case: dict[str, Any]) -> dict[str, Any]:
    work = sweep if {"methods", "sizes", "workers"} & set(case) else training_step
    return {**case, **work(**case), "peak_MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def draw(curves: dict[str, list[dict[str, Any]]], path: Path) -> None:
    from matplotlib.figure import Figure

    from rpe2d_bench.report.figures import paper_style

    with paper_style():
        figure = Figure(figsize=(6.75, 3.6), layout="constrained")
        for axes, (name, rows) in zip(figure.subplots(2, 3).flat, curves.items(), strict=True):
            labels = [str(next(iter(row.values()))).removeprefix("DiT-").removesuffix("/4") for row in rows]
            parts = [part for part in ("step", "wall", "training", "sampling") if part in rows[0]]
            for part in parts:
                axes.plot(labels, [row[part] for row in rows], marker="o", label=f"{part}, s")
            axes.set_ylim(0, (1.2 + 0.15 * len(parts)) * max(row[part] for row in rows for part in parts))
            axes.set_xlabel(name)
            beside = axes.twinx()
            beside.plot(
                labels, [row["peak_MiB"] / 1024 for row in rows], color="#808080", linestyle="--", label="memory"
            )
            beside.set_ylim(0, (1.1 if len(parts) == 1 else 1.55) * max(row["peak_MiB"] for row in rows) / 1024)
            beside.set_ylabel("peak GiB (dashed)", color="#606060")
            axes.legend(fontsize=6, loc="upper left")
        figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    parser.add_argument("--curve", choices=CURVES, action="append", help="only these; the others as in --out")
    parser.add_argument("--figure", type=Path, help="draw the curves")
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case is not None:
        print(json.dumps(run_case(arguments.case)))
        return
    curves: dict[str, list[dict[str, Any]]] = {}
    if arguments.curve and arguments.out and arguments.out.exists():
        curves = json.loads(arguments.out.read_text())
    for name in arguments.curve or CURVES:
        curves[name] = [point(case) for case in CURVES[name]]
        print(f"\n{name}")
        for row in curves[name]:
            print("  " + "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
    if arguments.out:
        arguments.out.write_text(json.dumps(curves, indent=1) + "\n")
    if arguments.figure:
        draw(curves, arguments.figure)


if __name__ == "__main__":
    main()
