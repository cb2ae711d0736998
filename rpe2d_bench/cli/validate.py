"""The command `validate`: an experiment file without running anything."""

from __future__ import annotations

import typer

from rpe2d_bench.cli.application import ExperimentFile, Overrides, app


@app.command()
def validate(experiment: ExperimentFile, overrides: Overrides = []) -> None:  # noqa: B006
    """Check an experiment file without running anything."""
    from rpe2d_bench.resolve.load import load

    resolved = load(experiment, overrides)
    loaded = resolved.experiment
    methods, models = len(loaded.methods), len(loaded.models)
    search = f", after a search of {loaded.search.trials} trials an entry" if loaded.search else ""
    typer.echo(f"{experiment}: valid; {methods} methods on {models} models, {len(loaded.seeds)} seeds{search}")
    from rpe2d_bench import data  # torch, which most mistakes need not wait for
    from rpe2d_bench.resolve.trainings import unreached_rates

    typer.echo(f"data: {data.summary(resolved.dataset)}")
    for sentence in unreached_rates(resolved):
        typer.echo(f"note: {sentence}")
