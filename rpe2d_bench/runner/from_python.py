"""`rpe2d_bench.run`: an experiment from Python, its records as a data frame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    import pandas as pd

    from rpe2d_bench.runner import Engine


def run(
    file: str | Path,
    *,
    store: str | Path = "runs",
    only: tuple[str, ...] = (),
    engine: Engine = "ray",
    **overrides: Any,
) -> pd.DataFrame:
    """Finish an experiment and return the records of its run, a row per result and metric, as `load_records` does.

    file: an experiment file, or the name of a shipped experiment. store: folder or address of results; what is there
    is not made again. only: methods to keep. engine: `ray`, or `local`, one stage after the other in this process.
    overrides: values of the file by their path, `run("quick", seeds=[0], **{"evaluate.num_samples": 50})`. Writes
    neither a report nor MLflow's view: `rpe2d-bench report` and `sync` do, from the same store. Raises UserError with
    file and line for whatever is wrong.
    """
    from rpe2d_bench import runner
    from rpe2d_bench.analysis.frame import load_frame
    from rpe2d_bench.config import shipped
    from rpe2d_bench.config.header import as_written
    from rpe2d_bench.plan.expand import make_plan
    from rpe2d_bench.plan.gpus import with_gpus
    from rpe2d_bench.plan.precision import Precisions
    from rpe2d_bench.resolve.load import keep_methods, load
    from rpe2d_bench.resolve.resolve import resolve
    from rpe2d_bench.runner.search import search
    from rpe2d_bench.storage.exchange import bring
    from rpe2d_bench.storage.store import Store

    path, place = shipped.find(Path(file)), Store(store)
    assigned = tuple(f"{key}={_as_yaml(value)}" for key, value in overrides.items())
    bring(place)
    resolved = load(path, assigned, only)
    searched = None
    if resolved.experiment.search is not None:
        chosen, searched = search(load(path, assigned).experiment, place, engine=engine, methods=only)
        resolved = resolve(keep_methods(chosen, only) if only else chosen)
    plan = with_gpus(make_plan(resolved, assigned, Precisions(place, resolved.experiment.resources)), place)
    return load_frame(runner.run(plan, place, engine=engine, written=as_written(path), searched=searched))


def _as_yaml(value: Any) -> str:
    """On one line."""
    return str(yaml.safe_dump(value, default_flow_style=True, width=10_000)).removesuffix("...\n").strip()
