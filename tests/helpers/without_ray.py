"""The command line as where there is neither Ray nor MLflow, clean-fid, torchvision or Optuna."""

import sys

ABSENT = ("ray", "mlflow", "cleanfid", "torchvision", "optuna")
for name in ABSENT:
    sys.modules[name] = None  # type: ignore[assignment]

from rpe2d_bench.cli import main  # noqa: E402

main()
