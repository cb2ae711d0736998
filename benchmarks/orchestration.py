"""What driving a sweep costs: wall time over the compute of its stages divided by the workers.

python -m benchmarks.orchestration [--out FILE.json] [--experiment FILE.yaml] [--set KEY=VALUE ...]

Runs an experiment with Ray from an empty store and adds up what its stages say they computed. 1.0 would be workers that
never wait; the target for the main experiment is 1.1 on two cores. Start-up of Ray and the last stages, which find
nobody to share the work with, weigh more in a short sweep than in a long one.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from rpe2d_bench.plan.expand import make_plan
from rpe2d_bench.resolve.load import load_experiment
from rpe2d_bench.runner import run
from rpe2d_bench.storage.records import Record
from rpe2d_bench.storage.store import Store


def compute_seconds(found: list[Record]) -> dict[str, float]:
    """Seconds of every distinct stage, by kind."""
    stages = {(record.stage, record.key): record.timings for record in found if record.status == "ok"}
    total: dict[str, float] = {}
    for timings in stages.values():
        for name, seconds in timings.items():
            total[name] = total.get(name, 0.0) + seconds
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    parser.add_argument("--experiment", type=Path, default=Path("experiments/res_generalization.yaml"))
    parser.add_argument("--set", dest="overrides", action="append", default=[], help="as in `rpe2d-bench run`")
    arguments = parser.parse_args()
    overrides = tuple(arguments.overrides)
    plan = make_plan(load_experiment(arguments.experiment, overrides), overrides)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        found = run(plan, Store(Path(folder)))
        wall = time.perf_counter() - started
        started = time.perf_counter()
        run(plan, Store(Path(folder)))
        again = time.perf_counter() - started
    workers = plan.experiment.resources.trials_in_parallel
    compute = compute_seconds(found)
    ideal = sum(compute.values()) / workers
    result = {"experiment": plan.experiment.name, "overrides": overrides, "workers": workers, "wall": wall,
              "compute": compute, "ratio": wall / ideal, "again": again}  # fmt: skip
    parts = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in compute.items())
    print(f"{plan.experiment.name}: wall {wall:.0f} s, compute {parts}, {workers} workers")
    print(f"wall / (compute / workers) = {result['ratio']:.2f}; the finished sweep again: {again:.1f} s")
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
