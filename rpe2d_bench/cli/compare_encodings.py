"""The command `compare-encodings`: where two encodings differ first."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated, Any

import typer

from rpe2d_bench.cli.application import AsJson, app
from rpe2d_bench.errors import UserError


@app.command()
def compare_encodings(
    first: Annotated[str, typer.Argument(metavar="A", help="A method that `ls` lists, or an encoding as YAML.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The other one.")],
    grid: Annotated[str, typer.Option(metavar="HxW", help="Tokens now.")] = "24x24",
    train_grid: Annotated[str, typer.Option(metavar="HxW", help="Tokens in training.")] = "16x16",
    t: Annotated[float, typer.Option(help="Time: 0 = data, 1 = noise.")] = 0.5,
    head_width: Annotated[int, typer.Option(help="Channels of a head.")] = 64,
    heads: Annotated[int, typer.Option(min=1, help="Heads.")] = 6,
    as_json: AsJson = False,
) -> None:
    """Print where two encodings differ first, part by part, in numbers."""
    from rpe2d_bench.encodings.compare import as_text, compare
    from rpe2d_bench.encodings.describe import parse_grid, require_time

    grids = parse_grid(grid), parse_grid(train_grid)
    found = compare(_spec(first), _spec(second), *grids, require_time(t), head_width, heads)
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(difference) for difference in found], indent=1))
    else:
        typer.echo(f"A {first}, B {second}: grid {grid}, train grid {train_grid}, t = {t:g}")
        typer.echo(as_text(found))


def _spec(text: str) -> dict[str, Any]:
    """A method by its name, or a whole mapping such as '{kind: axial_rope, theta: 100}'."""
    from rpe2d_bench.config.yaml_file import parse_value
    from rpe2d_bench.encodings.describe import spec_of

    if not text.lstrip().startswith("{"):
        return spec_of(text)
    spec = parse_value(text, "the encoding")
    if not isinstance(spec, dict):
        raise UserError(f"an encoding is a mapping with a kind, for example '{{kind: axial_rope}}'; got {text!r}")
    return spec
