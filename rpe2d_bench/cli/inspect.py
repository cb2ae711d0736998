"""The command `inspect`: what a model from outside is, and which methods apply to it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from rpe2d_bench.cli.application import AsJson, app
from rpe2d_bench.errors import UserError


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A folder that a diffusers pipeline was saved to.")],
    grid: Annotated[str | None, typer.Option(metavar="HxW", help="Tokens: are they inside what was trained?")] = None,
    as_json: AsJson = False,
) -> None:
    """What a pipeline is: size, train grid, positions, and which methods apply."""
    from rpe2d_bench.encodings import Grid
    from rpe2d_bench.sampling.pipeline_folder import inspect_pipeline

    sides = None if grid is None else re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", grid)
    if grid is not None and sides is None:
        raise UserError(f"--grid is HEIGHTxWIDTH in tokens, for example 20x20; got {grid!r}")
    rows = inspect_pipeline(str(path), None if sides is None else Grid(int(sides[1]), int(sides[2])))
    if as_json:
        typer.echo(json.dumps(dict(rows), indent=1))
        return
    typer.echo(str(path))
    for subject, sentence in rows:
        typer.echo(f"  {subject:12}{sentence}")
