"""`python -m rpe2d_bench.detached` as on a machine that has PyTorch, NumPy, Pillow and this repository."""

import runpy
import sys

ABSENT = (
    "ray",
    "mlflow",
    "typer",
    "rich",
    "pydantic",
    "yaml",
    "safetensors",
    "scipy",
    "pandas",
    "cleanfid",
    "torchvision",
)
for name in ABSENT:
    sys.modules[name] = None  # type: ignore[assignment]
runpy.run_module("rpe2d_bench.detached", run_name="__main__", alter_sys=True)
