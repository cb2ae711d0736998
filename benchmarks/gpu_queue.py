"""What a queue makes of many GPUs: hours of paper_256 on 1, 8 and 64, and the share of the ideal that is.

python -m benchmarks.gpu_queue [--out FILE.json]

The runner's own jobs and order under a clock that nobody waits for (rpe2d_bench.plan.wall), on an empty store. Training
and sampling are as fast as the DiT-B/2 of benchmarks/results/gpu_training.json was; all else is as `plan` assumes where
nothing was measured, and is written beside the numbers. Ideal is all work, by one GPU each, spread evenly over all.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from rpe2d_bench.plan.cost import jobs_of
from rpe2d_bench.plan.expand import Plan, make_plan
from rpe2d_bench.plan.pace import (
    AUTOENCODER,
    DATA_PARALLEL,
    PER_IMAGE,
    WRITTEN,
    Pace,
    forward_flops,
    how_passes,
    pass_name,
    shares,
    step_name,
)
from rpe2d_bench.plan.wall import wall
from rpe2d_bench.resolve.load import load_experiment
from rpe2d_bench.stages import MeasureStage, SampleStage
from rpe2d_bench.storage.store import Store

FILE = Path("experiments/paper_256.yaml")
OVERRIDES = ("evaluate.features=efficientnet-lite0", "evaluate.metrics=[fd]")  # Inception's weights are not at hand
RECORDED = Path(__file__).parent / "results" / "gpu_training.json"
GPUS = ((1, 1), (8, 1), (64, 8))  # in all, and of each training
ASSUMPTIONS = {
    "speed of a training on n GPUs, of n times one": DATA_PARALLEL,
    "bytes a second that shares are put together at": WRITTEN,
    "FLOP/s of the autoencoder": AUTOENCODER["cuda"],
    "seconds to decode an image": PER_IMAGE["render"],
    "seconds of the metrics' nets for an image": PER_IMAGE["observe"],
}


def pace_of(plan: Plan) -> Pace:
    """Seconds of a step and of an evaluation, at the speed that was recorded."""
    rate = 1e12 * json.loads(RECORDED.read_text())["rows"][0]["TFLOP_per_s"]
    seconds = {}
    for trial in plan.trials:
        stage = trial.stage
        for resolution in shares(stage):
            forward = forward_flops(stage, stage.grid_of(resolution).tokens)
            seconds[step_name(stage, resolution)] = 3 * stage.recipe.batch_size * forward / rate
        for cell in trial.cells:
            if isinstance(cell.measure, MeasureStage) and isinstance(sample := cell.measure.generated, SampleStage):
                tokens = sample.grid.tokens
                name = pass_name(sample.train, tokens, how_passes(sample))
                seconds[name] = forward_flops(sample.train, tokens) / rate
    return Pace("cuda", seconds, plan.experiment.resources.gpus)


def row(gpus: int, each: int) -> dict[str, float]:
    """Hours on so many GPUs, of which a training takes `each`."""
    resources = (f"resources.trials_in_parallel={gpus // each}", f"resources.gpus_per_trial={each}")
    plan = make_plan(load_experiment(FILE, (*OVERRIDES, *resources)))
    with tempfile.TemporaryDirectory() as folder:
        found = wall(jobs_of(plan, Store(Path(folder)), pace_of(plan)), gpus)
    hours = {"hours": found.seconds / 3600, "gpu_hours": found.work / 3600, "share": found.busy}
    return {"gpus": gpus, "gpus_per_training": each, **hours}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    arguments = parser.parse_args()
    rows = [row(*gpus) for gpus in GPUS]
    for each in rows:
        print(f"{each['gpus']:3} GPUs, {each['gpus_per_training']} a training: {each['hours']:6.1f} h for "
              f"{each['gpu_hours']:.0f} GPU-hours of work, {each['share']:.0%} of ideal")  # fmt: skip
    if arguments.out:
        found = {"experiment": FILE.stem, "assumed": ASSUMPTIONS, "rows": rows}
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
