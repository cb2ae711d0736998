"""The command `run`: an experiment to its end."""

from __future__ import annotations

from typing import Annotated

import typer

from rpe2d_bench.cli.application import (
    DEFAULT_REPORTS,
    DEFAULT_STORE,
    ExperimentFile,
    Only,
    Overrides,
    ReportsFolder,
    StoreFolder,
    app,
)
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
    reports: ReportsFolder = DEFAULT_REPORTS,
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
