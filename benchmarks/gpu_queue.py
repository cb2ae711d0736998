"""What a queue makes of many GPUs: hours of paper_256 on 1, 8 and 64, and the share of the ideal that is.

python -m benchmarks.gpu_queue [--out FILE.json]

The runner's own jobs and order under a clock that nobody waits for (rpe2d_bench.plan.wall), one GPU a slot, on an empty
store. Training and sampling are as fast as the DiT-B/2 of benchmarks/results/gpu_training.json was; the autoencoder,
images and nets as `plan` assumes where nothing was measured. Ideal is all work, evenly spread over the slots.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from rpe2d_bench.plan.cost import jobs_of
from rpe2d_bench.plan.expand import Plan, make_plan
from rpe2d_bench.plan.pace import Pace, forward_flops, pass_name, shares, step_name
from rpe2d_bench.plan.wall import wall
from rpe2d_bench.resolve.load import load_experiment
from rpe2d_bench.stages import MeasureStage, SampleStage
from rpe2d_bench.storage.store import Store

FILE = Path("experiments/paper_256.yaml")
OVERRIDES = ("evaluate.features=efficientnet-lite0", "evaluate.metrics=[fd]")  # Inception's weights are not at hand
RECORDED = Path(__file__).parent / "results" / "gpu_training.json"
SLOTS = (1, 8, 64)


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
                name = pass_name(sample.train, tokens, sample.sampler.precision)
                seconds[name] = forward_flops(sample.train, tokens) / rate
    return Pace("cuda", seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    arguments = parser.parse_args()
    plan = make_plan(load_experiment(FILE, OVERRIDES))
    with tempfile.TemporaryDirectory() as folder:
        jobs = jobs_of(plan, Store(Path(folder)), pace_of(plan))
    found = [wall(jobs, slots) for slots in SLOTS]
    rows = [{"gpus": each.slots, "hours": each.seconds / 3600, "gpu_hours": each.work / 3600, "share": each.busy}
            for each in found]  # fmt: skip
    for row in rows:
        print(f"{row['gpus']:3} GPUs: {row['hours']:6.1f} h for {row['gpu_hours']:.0f} GPU-hours of work, "
              f"{row['share']:.0%} of ideal")  # fmt: skip
    if arguments.out:
        arguments.out.write_text(json.dumps({"experiment": FILE.stem, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
