"""The command `sync`: MLflow rebuilt from records."""

from __future__ import annotations

from typing import Annotated

import typer

from rpe2d_bench.cli.application import DEFAULT_STORE, StoreFolder, app
from rpe2d_bench.errors import UserError


@app.command()
def sync(
    store: StoreFolder = DEFAULT_STORE,
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow; by default a SQLite file in the store.")] = None,
) -> None:
    """Rebuild MLflow from the records of the store."""
    from rpe2d_bench import tracking
    from rpe2d_bench.storage import records

    found = records.read(store)
    if tracking_uri is None and (beside := tracking.set_aside(store / tracking.DATABASE)) is not None:
        typer.echo(f"the MLflow database was damaged; it is kept as {beside.name}, and a new one is made")
    failures: list[str] = []
    tracking.sync(store, tracking_uri or tracking.default_uri(store), found, failures.append)
    if failures:
        raise UserError(" ".join(failures[0].split()))
    typer.echo(f"{len(found)} records in {tracking_uri or tracking.default_uri(store)}; next: rpe2d-bench ui")
