"""The command `measure`: anybody's images against real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rpe2d_bench.cli.application import AsJson, app


@app.command()
def measure(
    samples: Annotated[Path, typer.Argument(metavar="SAMPLES", help="Folder, .zip, or .npz with arr_0.")],
    reference: Annotated[Path, typer.Option(metavar="DIR_OR_NPZ", help="Real images of the same size.")],
    metrics: Annotated[str, typer.Option(help="Names, separated by commas.")] = "fd,kid,precision,recall",
    features: Annotated[str, typer.Option("--features", "--net", help="Feature net.")] = "efficientnet-lite0",
    weights: Annotated[Path | None, typer.Option(metavar="FILE", help="Of inception or dinov2.")] = None,
    judge: Annotated[str | None, typer.Option(help="Classifier of the accuracy; classes are arr_1.")] = None,
    train_resolution: Annotated[str | None, typer.Option(metavar="HxW", help="For global and local metrics.")] = None,
    training: Annotated[Path | None, typer.Option(metavar="DIR_OR_NPZ", help="For the memorization check.")] = None,
    count: Annotated[int | None, typer.Option(help="Images drawn of each side; by default all.")] = None,
    seed: Annotated[int, typer.Option(help="Of that draw, and of metrics that draw.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
    as_json: AsJson = False,
) -> None:
    """Measure anybody's images against real ones."""
    from rpe2d_bench.cli.measuring import Request, measure_files
    from rpe2d_bench.resolution import Resolution

    train = None if train_resolution is None else Resolution.parse(train_resolution)
    names = [name.strip() for name in metrics.split(",")]
    request = Request(samples, reference, names, features, weights, judge, train, training, count, seed, device)
    measure_files(request, as_json)
