"""Whether a plan tells the truth: what `plan` says on an empty store beside the wall time of `run`.

python -m benchmarks.plan_truth [--out FILE.json] [--set KEY=VALUE ...] [EXPERIMENT.yaml ...]

Both commands as a user types them, in processes of their own, each experiment in a store of its own; --set is for all
of them. By default the smoke experiment and a shortened main experiment; the target is within 30 %.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-c", "from rpe2d_bench.cli import main; main()"]
SHORT = ["experiments/smoke.yaml", "experiments/res_generalization.yaml"]
OF_THE_SHORT = {"experiments/res_generalization.yaml": ["train.steps=200", "seeds=[0]"]}


def measured(file: str, overrides: list[str]) -> dict[str, Any]:
    """Seconds as planned and as they were, and what was planned besides."""
    settings = [part for override in overrides for part in ("--set", override)]
    with tempfile.TemporaryDirectory() as folder:
        store = ["--store", f"{folder}/runs"]
        started = time.perf_counter()
        sentence = subprocess.run(
            [*COMMAND, "plan", file, "--json", *settings, *store], check=True, capture_output=True, text=True
        )
        planning = time.perf_counter() - started
        plan = json.loads(sentence.stdout)
        started = time.perf_counter()
        subprocess.run([*COMMAND, "run", file, *settings, *store, "--reports", f"{folder}/reports"], check=True)
        actual = time.perf_counter() - started
    planned = plan["cost_of_the_rest"]["seconds"]
    return {
        "experiment": file,
        "overrides": overrides,
        "arithmetic": plan["arithmetic"],
        "planned": planned,
        "actual": actual,
        "ratio": planned / actual,
        "planning": planning,
        "memory": plan["cost_of_the_rest"]["memory"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", help="experiments; by default smoke and a shortened main experiment")
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    parser.add_argument("--set", dest="overrides", action="append", default=[], help="as in `rpe2d-bench run`")
    arguments = parser.parse_args()
    rows = []
    for file in arguments.files or SHORT:
        short = [] if arguments.files else OF_THE_SHORT.get(file, [])
        rows.append(measured(file, [*short, *arguments.overrides]))
    print(f"{'experiment':48}{'planned s':>10}{'actual s':>10}{'ratio':>7}{'plan took s':>13}")
    for row in rows:
        name = " ".join([row["experiment"], *row["overrides"]])
        print(f"{name:48}{row['planned']:10.0f}{row['actual']:10.0f}{row['ratio']:7.2f}{row['planning']:13.1f}")
        print("".join(f"  {line}\n" for line in row["arithmetic"]), end="")
    if arguments.out:
        arguments.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
