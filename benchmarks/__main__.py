"""Every benchmark in turn, each in a process of its own: `make bench` prints the tables and writes benchmarks/results/.

python -m benchmarks [NAME ...] runs only those named; `orchestration` takes a quarter of an hour.

One thread, since that is what a worker of a sweep has. Run it while nothing else runs: two busy cores make every time a
lie, and only the ratios inside one run can be compared.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

BENCHMARKS = (
    "limits", "training_step", "sampling_step", "encoding_share", "data_pipeline", "metrics", "scaling",
    "growth", "reading", "gpu_queue", "orchestration",
)  # fmt: skip
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    RESULTS.mkdir(exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    for name in sys.argv[1:] or BENCHMARKS:
        print(f"\n== {name}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", "--out", str(RESULTS / f"{name}.json")]
        subprocess.run(command, env=environment, check=True)


if __name__ == "__main__":
    main()
