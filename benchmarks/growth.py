"""How a store grows: invented records of 100, 1,000 and 10,000 cells, what they weigh, and how long a user waits.

python -m benchmarks.growth [--out FILE.json] [--cells 100 1000 10000]

For each count: MiB of the records on disk, seconds to read them, seconds of `report` (checks of files, comparisons and
the printed table included) and MiB of its page. Then seconds of `plan` of paper_256, as a process of its own, and of
the part of it that is not the start of Python and torch. Seconds are of the processor, as other work on the machine
makes those of the clock longer. Numbers and images are drawn at random: they say nothing about any method. The targets
are those of docs/performance.md.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rpe2d_bench.storage import images_file, records
from rpe2d_bench.storage.record_parts import Artifacts, Configuration
from rpe2d_bench.storage.records import Record
from rpe2d_bench.storage.store import Store

SHAPES = {100: (10, 5, 2), 1_000: (20, 10, 5), 10_000: (50, 20, 10)}  # cells -> methods, test sizes, seeds
SHOWN = 20  # images kept of a cell
METRICS = ("kid_glyphnet", "fd_glyphnet", "kid_global_glyphnet", "kid_local_glyphnet", "precision_glyphnet",
           "recall_glyphnet", "repetition", "accuracy_glyphjudge")  # fmt: skip
TRAIN = (32, 32)
PLAN = ["plan", "experiments/paper_256.yaml", "--json", "--set", "evaluate.features=efficientnet-lite0",
        "--set", "evaluate.metrics=[fd]"]  # fmt: skip
COMMAND = [sys.executable, "-c", "from rpe2d_bench.cli import main; main()"]


def experiment(methods: int, sizes: int, seeds: int) -> dict[str, Any]:
    """As a user writes it: every method on its own theta, squares from half to five times the train resolution."""
    names = [f"rope_theta_{100 + 10 * number}" for number in range(methods)]
    return {
        "schema_version": 1,
        "name": "growth",
        "seeds": list(range(seeds)),
        "data": {"name": "glyphs"},
        "model": {"preset": "DiT-Mini/4"},
        "train": {"steps": 1200, "batch_size": 64, "optimizer": "muon", "lr": 8e-3},
        "models": {"rope": {"encoding": {"kind": "axial_rope", "theta": 100}}},
        "methods": {name: {"model": "rope", "frequencies": {"kind": "interpolated"}} for name in names},
        "resolutions": [{"train": 32, "test": [16 + 8 * number for number in range(sizes)]}],
        "evaluate": {"sampler": {"kind": "adams_bashforth", "steps": 10, "guidance": 2.0}, "num_samples": 200},
        "report": {"main_metric": "kid", "reference_method": names[0]},
    }


def made(store: Store, written: dict[str, Any]) -> Iterator[Record]:
    """The records of a complete run; samples of the first seed are below the store."""
    draws = np.random.default_rng(0)
    shared = Configuration(config={"experiment": written}, written=written, provenance=records.provenance())
    sampler = shared.config.experiment.evaluate.sampler.model_dump()
    common = {"experiment": "growth", "run": "growth-0", "configuration": shared}
    for seed in written["seeds"]:
        about = {"steps": 1200, "parameters": 893_488, "heads": 3, "head_width": 32, "grid": (8, 8),
                 "flops_per_step": 1.5e10, "flops": 1.8e13, "precision": "bf16"}  # fmt: skip
        yield Record(stage="train", key=f"train-{seed}", model="rope", train_resolution=TRAIN, seed=seed,
                     metrics={"validation_loss": 0.11, "images_per_second": 600.0}, timings={"train": 125.0},
                     training=about, **common)  # fmt: skip
        for side in written["resolutions"][0]["test"]:
            test = (side, side)
            yield Record(stage="floor", key=f"floor-{side}-{seed}", train_resolution=TRAIN, test_resolution=test,
                         seed=seed, num_samples=200, metrics=_values(draws, 0.1), measurement=_measured(),
                         artifacts=_samples(store, side, "real", seed), **common)  # fmt: skip
            for method in written["methods"]:
                yield Record(stage="measure", key=f"{method}-{side}-{seed}", model="rope", method=method,
                             train_resolution=TRAIN, test_resolution=test, seed=seed, num_samples=200,
                             metrics=_values(draws, 1 + abs(side - 32) / 32), timings={"sample": 20.0, "measure": 1.5},
                             measurement=_measured(), artifacts=_samples(store, side, method, seed),
                             sampling={"sampler": sampler, "trained_encoding": {"kind": "axial_rope", "theta": 100},
                                       "replacements": {"frequencies": {"kind": "interpolated"}},
                                       "generated_resolution": test, "grid": (side // 4, side // 4)},
                             **common)  # fmt: skip


def _values(draws: np.random.Generator, scale: float) -> dict[str, float]:
    return dict(zip(METRICS, (scale * draws.random(len(METRICS))).tolist(), strict=True))


def _measured() -> dict[str, Any]:
    return {"counts": {"generated": 200, "reference": 200}, "resize": {"whole": "as they are"}, "labels": "20 a class",
            "better": dict.fromkeys(METRICS, "lower"), "data_revision": "glyphs-v2"}  # fmt: skip


def _samples(store: Store, side: int, name: str, seed: int) -> Artifacts:
    """Of the first seed: grey discs in noise, since a page embeds what does not shrink to nothing."""
    key = f"{name}-{side}-{seed}"
    draws = np.random.default_rng(side)

    def work(folder: Path) -> None:
        y, x = np.mgrid[0 : 1 : side * 1j, 0 : 1 : side * 1j]
        disc = 200.0 * (np.hypot(y - 0.5, x - 0.5) < 0.3)
        images = np.clip(disc + draws.normal(0, 8, (SHOWN, 1, side, side)), 0, 255).astype(np.uint8)
        images_file.save(folder / images_file.NAME, images, np.arange(SHOWN) % 10)

    if seed == 0:
        store.make("sample", key, work)
    return Artifacts(samples=f"stages/sample/{key}/{images_file.NAME}")


def processor() -> float:
    """Seconds of processor time of this process and of those it has waited for."""
    return sum(os.times()[:4])


def measured(cells: int) -> dict[str, float]:
    """One row of the table."""
    from rpe2d_bench.cli.session import write_reports

    with tempfile.TemporaryDirectory() as folder:
        store, reports = Path(folder) / "runs", Path(folder) / "reports"
        store.mkdir()
        file = store / records.RECORDS_FILE
        file.write_bytes(b"".join(records.lines_of(made(Store(store), experiment(*SHAPES[cells])))))
        began = processor()
        records.read(store)
        read = processor()
        with contextlib.redirect_stdout(io.StringIO()):
            write_reports([], store, reports)
        page = reports / "growth" / "index.html"
        return {"cells": cells, "records_mib": file.stat().st_size / 2**20, "read_s": read - began,
                "report_s": processor() - read, "page_mib": page.stat().st_size / 2**20}  # fmt: skip


def planned() -> dict[str, float]:
    """Seconds of `plan` of paper_256, and of a command that only starts."""
    seconds = {}
    with tempfile.TemporaryDirectory() as store:
        for name, command in {"start_s": ["plan", "--help"], "plan_s": [*PLAN, "--store", store]}.items():
            began = processor()
            subprocess.run([*COMMAND, *command], check=True, capture_output=True)
            seconds[name] = processor() - began
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    parser.add_argument("--cells", type=int, nargs="*", choices=SHAPES, default=list(SHAPES))
    arguments = parser.parse_args()
    rows = []
    for cells in arguments.cells:
        rows.append(measured(cells))
        print(json.dumps(rows[-1]), flush=True)
    found = {"seconds": "of the processor", "growth": rows, "plan_of_paper_256": planned()}
    print(json.dumps(found["plan_of_paper_256"]))
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
