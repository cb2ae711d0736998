"""The command `unpack`: what another machine made, put into the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rpe2d_bench.cli.application import DEFAULT_STORE, StoreFolder, app


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
