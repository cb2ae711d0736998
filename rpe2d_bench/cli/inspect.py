"""The command `inspect`: what a model from outside is, and which methods apply to it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from rpe2d_bench.cli.application import AsJson, app
from rpe2d_bench.errors import unknown

FORMATS = ("ours", "sit", "dit", "fit")


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Weights, .safetensors or .pt, or a pipeline's folder.")],
    layout: Annotated[str | None, typer.Option("--format", help=f"{', '.join(FORMATS)}; by default as found.")] = None,
    grid: Annotated[str | None, typer.Option(metavar="HxW", help="Tokens: are they inside what was trained?")] = None,
    as_json: AsJson = False,
) -> None:
    """What a model from outside is: size, train grid, encoding, prediction, and which methods apply."""
    from rpe2d_bench.encodings.describe import parse_grid
    from rpe2d_bench.sampling.pipeline_folder import inspect_pipeline
    from rpe2d_bench.stages.inspection import inspect as inspected

    if layout not in (None, *FORMATS):
        raise unknown("format", str(layout), FORMATS)
    at = None if grid is None else parse_grid(grid)
    if path.is_dir():
        rows = inspect_pipeline(str(path), at)
        document: dict[str, object] = dict(rows)
    else:
        found = inspected(path, layout, at)
        rows, document = list(found.lines()), dataclasses.asdict(found)
    if as_json:
        typer.echo(json.dumps(document, indent=1))
        return
    typer.echo(str(path))
    for subject, sentence in rows:
        typer.echo(f"  {subject:12}{sentence}")
