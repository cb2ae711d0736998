"""Commands that take an experiment file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from rpe2d_bench.cli.application import DEFAULT_STORE, AsJson, ExperimentFile, Only, Overrides, StoreFolder, app
from rpe2d_bench.errors import UserError


@app.command()
def run(
    experiment: ExperimentFile,
    overrides: Overrides = [],  # noqa: B006 - typer wants a list
    only: Only = [],  # noqa: B006
    store: StoreFolder = DEFAULT_STORE,
    engine: Annotated[str, typer.Option(help="ray, or local: one stage after the other in this process.")] = "ray",
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow; by default a SQLite file in the store.")] = None,
    no_mlflow: Annotated[bool, typer.Option("--no-mlflow", help="Leave MLflow for a later `sync`.")] = False,
    reports: Annotated[Path, typer.Option(metavar="DIR", help="Where the report is written.")] = Path("reports"),
) -> None:
    """Train, sample and measure what is missing, log it to MLflow and write the report."""
    from rpe2d_bench.cli.console import Opening, open_console

    if engine not in ("ray", "local"):
        raise UserError(f"--engine {engine}: write ray or local")
    opening = Opening(open_console())
    with opening:
        opening.phase(f"rpe2d-bench run {experiment}")
        from rpe2d_bench.cli.session import run_experiment
    run_experiment(
        experiment,
        tuple(overrides),
        tuple(only),
        store=store,
        engine=engine,  # type: ignore[arg-type]
        tracking_uri=None if no_mlflow else tracking_uri or "",
        reports=reports,
        opening=opening,
    )


@app.command()
def status(
    store: Annotated[
        Path, typer.Argument(metavar="[STORE]", help="Where the results of the run live.")
    ] = DEFAULT_STORE,
) -> None:
    """Show how far the runs of a store are, from another terminal."""
    from rpe2d_bench.cli.status import show

    show(store)


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
    from rpe2d_bench.plan.precision import Precisions
    from rpe2d_bench.search.known import load
    from rpe2d_bench.storage.store import Store

    chosen, searching = load(experiment, overrides, only, Store(store))

    def say(sentence: str) -> None:
        if sys.stderr.isatty():
            typer.echo(sentence, err=True)

    made = make_plan(chosen, tuple(overrides), Precisions(Store(store), chosen.resources, say))
    if as_json:
        typer.echo(json.dumps(plan_view.as_dict(made, Store(store), searching), indent=1))
    else:
        plan_view.show(made, Store(store), searching=searching)


@app.command()
def validate(experiment: ExperimentFile, overrides: Overrides = []) -> None:  # noqa: B006
    """Check an experiment file without running anything."""
    from rpe2d_bench.resolve.load import load_experiment

    loaded = load_experiment(experiment, overrides)
    methods, models = len(loaded.methods), len(loaded.models)
    search = f", after a search of {loaded.search.trials} trials an entry" if loaded.search else ""
    typer.echo(f"{experiment}: valid; {methods} methods on {models} models, {len(loaded.seeds)} seeds{search}")
    from rpe2d_bench import data  # torch, which most mistakes need not wait for

    typer.echo(f"data: {data.summary(data.build(loaded.data))}")


@app.command()
def report(
    sources: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[EXPERIMENT.yaml | RUN | RECORDS.jsonl]...", help="Two are compared; none: the latest run."
        ),
    ] = None,
    store: StoreFolder = DEFAULT_STORE,
    reports: Annotated[Path, typer.Option(metavar="DIR", help="Where the report is written.")] = Path("reports"),
) -> None:
    """Write the report of a run from its records."""
    from rpe2d_bench.cli.session import write_reports

    write_reports(sources or [], store, reports)


@app.command()
def unpack(
    files: Annotated[list[Path], typer.Argument(metavar="OUT...", help="The folder that was written, or its files.")],
    store: StoreFolder = DEFAULT_STORE,
) -> None:
    """Put what `python -m rpe2d_bench.detached run` made on another machine into the store."""
    from rpe2d_bench.detached.packing import unpack as put
    from rpe2d_bench.storage.store import Store

    new, there = put(files, Store(store))
    typer.echo(f"{new} stages put into {store}, {there} were there; next: rpe2d-bench run EXPERIMENT.yaml")
