"""The command `show`: what a name means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from rpe2d_bench.cli.application import DEFAULT_STORE, AsJson, StoreFolder, app, note_replaced, to_write
from rpe2d_bench.errors import UserError


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What `ls` lists, an entry of a file, records.")],
    grid: Annotated[str | None, typer.Option(metavar="HxW", help="Of methods: tokens now [24x24].")] = None,
    train_grid: Annotated[str | None, typer.Option(metavar="HxW", help="Tokens in training [16x16].")] = None,
    t: Annotated[float, typer.Option(help="Time: 0 = data, 1 = noise.")] = 0.5,
    head_width: Annotated[int, typer.Option(help="Channels of a head.")] = 64,
    option: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="An option of the method.", callback=note_replaced)
    ] = [],  # noqa: B006
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a figure (.png, .svg, .pdf).", callback=to_write)
    ] = None,
    store: StoreFolder = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """What a name means: data sets, crops, metrics, nets, experiments, runs; of methods also what they really do."""
    from rpe2d_bench.cli import showing

    meanings, realised = showing.known(name, grid, train_grid, t, head_width, option, store)
    if as_json:
        typer.echo(json.dumps(showing.as_dict(meanings, realised), indent=1))
    else:
        showing.show(meanings, realised)
    if figure is not None:
        from rpe2d_bench.report.realised import draw

        if realised is None:
            raise UserError(f"--figure draws methods; {name} is of the kind {meanings[0].kind!r}")
        draw(name, realised, figure)
        typer.echo(f"figure: {figure}", err=as_json)
