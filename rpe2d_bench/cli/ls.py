"""The command `ls`: what a file can name, and the runs of a store."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from rpe2d_bench.cli.application import DEFAULT_STORE, AsJson, StoreFolder, app


def _kinds(incomplete: str) -> list[str]:
    """For the shell's completion."""
    from rpe2d_bench.cli.listing import KINDS

    return [kind for kind in KINDS if kind.startswith(incomplete)]


@app.command("ls")
def ls(
    kind: Annotated[
        str | None,
        typer.Argument(metavar="[KIND]", help="encodings, positions, metrics, ...", autocompletion=_kinds),
    ] = None,
    store: StoreFolder = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """List what can be written in an experiment file, and the runs of the store."""
    from rpe2d_bench.cli import listing

    if as_json:
        typer.echo(json.dumps(listing.as_dict(kind, store), indent=1))
    else:
        listing.show(kind, store)
