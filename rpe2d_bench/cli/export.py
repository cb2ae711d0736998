"""The command `export`: our weights in the layout of another repository, so that its code gives our outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rpe2d_bench.cli.application import app

SUFFIXES = (".pt", ".safetensors")


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A file that export-weights wrote.")],
    layout: Annotated[str, typer.Option("--format", help="sit, or dit.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="A .pt or .safetensors file.")],
) -> None:
    """Write our weights in the layout of SiT or DiT; see export-weights for taking them out of a store."""
    from rpe2d_bench.errors import UserError, unknown
    from rpe2d_bench.models.foreign import LAYOUTS
    from rpe2d_bench.stages.foreign_file import exported
    from rpe2d_bench.stages.weights_file import WeightsFile

    if layout not in LAYOUTS:
        raise unknown("format", layout, LAYOUTS)
    if out.suffix not in SUFFIXES:
        raise UserError(f"--out {out}: the name ends with {' or '.join(SUFFIXES)}")
    weights = exported(checkpoint, WeightsFile.at(str(checkpoint)).recipe, layout)
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".pt":
        import torch

        torch.save(weights, out)
    else:
        from safetensors.torch import save_file

        save_file(weights, out)
    repository = LAYOUTS[layout].repository
    typer.echo(f"{out}: {len(weights)} tensors in the layout of {repository}; build its model with learn_sigma=False")
