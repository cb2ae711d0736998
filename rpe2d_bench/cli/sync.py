"""The command `sync`: MLflow rebuilt from records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rpe2d_bench.cli.application import DEFAULT_STORE, StoreFolder, app
from rpe2d_bench.errors import UserError

if TYPE_CHECKING:
    from rpe2d_bench.storage.records import Record


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
    uri = tracking_uri or tracking.default_uri(store)
    tracking.sync(store, uri, found, failures.append, lambda run: _head(run, store))
    if failures:
        raise UserError(" ".join(failures[0].split()))
    typer.echo(f"{len(found)} records in {uri}{'' if tracking_uri else '; next: rpe2d-bench ui'}")


def _head(run: list[Record], store: Path) -> str:
    """The head of a run's report."""
    from rpe2d_bench import report
    from rpe2d_bench.analysis.significance import separate
    from rpe2d_bench.analysis.verified import verified
    from rpe2d_bench.storage.store import Store

    shown = verified(run, Store(store), lambda _: None)  # `report` says what is damaged
    return report.description(shown, separate(shown, store))
