"""The command `plan`: stages, what is cached, what the rest will cost."""

from __future__ import annotations

import json
import sys

import typer

from rpe2d_bench.cli.application import DEFAULT_STORE, AsJson, ExperimentFile, Only, Overrides, StoreFolder, app


@app.command()
def plan(
    experiment: ExperimentFile,
    overrides: Overrides = [],  # noqa: B006
    only: Only = [],  # noqa: B006
    store: StoreFolder = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Show the stages of an experiment, which of them are cached, and what the rest will cost."""
    from rpe2d_bench.cli import plan_view
    from rpe2d_bench.plan.expand import make_plan
    from rpe2d_bench.plan.gpus import with_gpus
    from rpe2d_bench.plan.precision import Precisions
    from rpe2d_bench.search.known import load
    from rpe2d_bench.storage.store import Store

    chosen, searching = load(experiment, overrides, only, Store(store))

    def say(sentence: str) -> None:
        if sys.stderr.isatty():
            typer.echo(sentence, err=True)

    made = make_plan(chosen, tuple(overrides), Precisions(Store(store), chosen.experiment.resources, say))
    made = with_gpus(made, Store(store), say)
    if as_json:
        typer.echo(json.dumps(plan_view.as_dict(made, Store(store), searching), indent=1))
    else:
        plan_view.show(made, Store(store), searching=searching)
