"""The command `sample`: images of one method at any resolution."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rpe2d_bench.cli.application import DEFAULT_STORE, ExperimentFile, Overrides, StoreFolder, app, to_write


@app.command()
def sample(
    experiment: ExperimentFile,
    method: Annotated[str, typer.Option(help="A method of the experiment.")],
    resolution: Annotated[str, typer.Option(metavar="HxW", help="Pixels; 48 is 48x48.")],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="Where the images go (.png grid or .npz).", callback=to_write)
    ],
    count: Annotated[int, typer.Option(help="Images.")] = 64,
    seed: Annotated[int | None, typer.Option(help="A seed of the experiment; by default its first.")] = None,
    overrides: Overrides = [],  # noqa: B006
    store: StoreFolder = DEFAULT_STORE,
) -> None:
    """Generate images of one method at any resolution, from the trained model in the store."""
    from rpe2d_bench.cli.sampling import sample_method

    sample_method(experiment, tuple(overrides), method, resolution, out, count, seed, store)
