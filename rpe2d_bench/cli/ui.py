"""The command `ui`: MLflow on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from rpe2d_bench.cli.application import DEFAULT_STORE, StoreFolder, app


@app.command()
def ui(
    store: StoreFolder = DEFAULT_STORE,
    port: Annotated[int, typer.Option(help="On this machine only.")] = 5000,
) -> None:
    """Open the MLflow UI on the store."""
    from rpe2d_bench import tracking

    if code := tracking.serve_ui(store, port, typer.echo):
        raise SystemExit(code)
