"""The command `measure`: anybody's images against real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rpe2d_bench.cli.application import DEFAULT_STORE, AsJson, StoreFolder, app
from rpe2d_bench.metrics.look import Look

USUAL = Look()


@app.command()
def measure(
    samples: Annotated[list[Path], typer.Argument(metavar="SAMPLES...", help="Folders, .zip, .tar, .parquet, .npz.")],
    reference: Annotated[Path, typer.Option(metavar="DIR_OR_NPZ", help="Real images of the same size.")],
    against: Annotated[str | None, typer.Option(metavar="NAME", help="Set that others differ from; the first.")] = None,
    metrics: Annotated[str, typer.Option(help="Names, separated by commas.")] = ",".join(USUAL.metrics),
    features: Annotated[str, typer.Option("--features", "--net", help="Feature net.")] = USUAL.net,
    weights: Annotated[Path | None, typer.Option(metavar="FILE", help="Of inception or dinov2.")] = None,
    judge: Annotated[
        str | None, typer.Option("--classifier", "--judge", help="Net of the accuracy; classes are arr_1.")
    ] = None,
    train_resolution: Annotated[str | None, typer.Option(metavar="HxW", help="For global and local metrics.")] = None,
    training: Annotated[Path | None, typer.Option(metavar="DIR_OR_NPZ", help="For the memorization check.")] = None,
    count: Annotated[int | None, typer.Option(help="Images drawn of each side; by default all.")] = None,
    seed: Annotated[int, typer.Option(help="Of that draw, and of metrics that draw.")] = USUAL.seed,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = USUAL.device,
    store: StoreFolder = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Measure anybody's images against real ones, and sets of them against each other.

    Features are kept in the store, so that the next call on the same images takes none.
    """
    from rpe2d_bench.cli.measuring import measure_sets
    from rpe2d_bench.resolution import Resolution

    train = None if train_resolution is None else Resolution.parse(train_resolution)
    names = tuple(name.strip() for name in metrics.split(","))
    look = Look(names, features, judge, weights, None, train, training, count, seed, device)
    measure_sets(samples, reference, look, against, store, as_json)
