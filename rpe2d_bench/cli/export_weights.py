"""The command that takes trained weights out of the store, with their recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rpe2d_bench.cli.application import DEFAULT_STORE, ExperimentFile, Overrides, StoreFolder, app
from rpe2d_bench.errors import UserError, unknown

DTYPES = ("float32", "float16", "bfloat16")


@app.command("export-weights")
def export_weights(
    experiment: ExperimentFile,
    model: Annotated[str, typer.Option(help="An entry of models.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="A .safetensors file, which `checkpoint:` takes.")],
    seed: Annotated[int | None, typer.Option(help="A seed of the experiment; by default its first.")] = None,
    dtype: Annotated[str, typer.Option(help=f"{', '.join(DTYPES)}.")] = "float32",
    overrides: Overrides = [],  # noqa: B006
    store: StoreFolder = DEFAULT_STORE,
) -> None:
    """Write the weights of a trained model as one file that says what they were trained under."""
    import torch
    from safetensors.torch import load_file, save_file

    from rpe2d_bench.plan.expand import make_plan
    from rpe2d_bench.resolve.load import load_experiment
    from rpe2d_bench.stages.denoiser import WEIGHTS, WeightsFile
    from rpe2d_bench.stages.weights_file import metadata_of
    from rpe2d_bench.storage.files import sha256_of_file
    from rpe2d_bench.storage.store import Store

    if dtype not in DTYPES:
        raise unknown("type of numbers", dtype, DTYPES)
    loaded = load_experiment(experiment, overrides)
    if model not in loaded.models:
        raise unknown("model", model, loaded.models)
    trials = [trial for trial in make_plan(loaded, tuple(overrides)).trials if trial.model == model]
    trial = next((trial for trial in trials if seed in (None, trial.seed)), None)
    if trial is None:
        raise UserError(f"--seed {seed}: {model} is trained with the seeds {', '.join(map(str, loaded.seeds))}")
    folder = Store(store).fetch("train", trial.stage.key, typer.echo)
    if folder is None or not (folder / WEIGHTS).is_file():
        raise UserError(f"{trial.label} is not trained in the store {store}; run: rpe2d-bench run {experiment}")
    recipe = WeightsFile.at(str(folder / WEIGHTS)).recipe
    weights = {name: value.to(getattr(torch, dtype)) for name, value in load_file(folder / WEIGHTS).items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, out, metadata=metadata_of(recipe))
    text = "recipe unknown: they were trained before weights carried it" if recipe is None else "with their recipe"
    typer.echo(f"{trial.label}: {out}, {out.stat().st_size / 2**20:.2f} MiB, {text}; sha256 {sha256_of_file(out)}")
