"""The command `export`: trained weights as one file with their recipe, or in the layout of another repository."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from rpe2d_bench.cli.application import DEFAULT_STORE, Overrides, StoreFolder, app, to_write
from rpe2d_bench.errors import UserError, unknown

DTYPES = ("float32", "float16", "bfloat16")
SUFFIXES = (".pt", ".safetensors")
OURS = "ours"


@app.command("export-weights", hidden=True)  # its name while there were two commands
@app.command()
def export(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="An experiment, or a file that export wrote.")],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="A .safetensors file; but of ours a .pt, too.", callback=to_write)
    ],
    model: Annotated[str | None, typer.Option(help="Of an experiment: an entry of models.")] = None,
    layout: Annotated[str, typer.Option("--format", help="ours, which `checkpoint:` takes; sit; dit; fit.")] = OURS,
    seed: Annotated[int | None, typer.Option(help="A seed of the experiment; by default its first.")] = None,
    step: Annotated[int | None, typer.Option(help="One of train.milestones; by default the end.")] = None,
    dtype: Annotated[str, typer.Option(help=f"Of ours: {', '.join(DTYPES)}.")] = "float32",
    overrides: Overrides = [],  # noqa: B006
    store: StoreFolder = DEFAULT_STORE,
) -> None:
    """Write trained weights as one file that says what they were trained under, or for the code of SiT, DiT or FiT."""
    from rpe2d_bench.config import shipped
    from rpe2d_bench.models.foreign import LAYOUTS

    if layout not in (OURS, *LAYOUTS):
        raise unknown("format", layout, (OURS, *LAYOUTS))
    if dtype not in DTYPES:
        raise unknown("type of numbers", dtype, DTYPES)
    endings = (".safetensors",) if layout == OURS else SUFFIXES
    if out.suffix not in endings:
        raise UserError(f"--out {out}: the name ends with {' or '.join(endings)}")
    if source.suffix in SUFFIXES:
        if layout == OURS:
            raise UserError(f"{source} is in our format already; name another: --format {' or '.join(LAYOUTS)}")
        _translate(source, layout, out)
        return
    experiment = shipped.find(source)
    if model is None:
        from rpe2d_bench.resolve.load import load_experiment

        models = ", ".join(load_experiment(experiment, overrides).models)
        raise UserError(f"--model is missing: {source} has {models}; a file of weights ends with .safetensors")
    if layout == OURS:
        typer.echo(_take_out(experiment, model, out, seed, step, dtype, overrides, store))
        return
    with tempfile.TemporaryDirectory(prefix="rpe2d-export-") as folder:
        ours = Path(folder) / "ours.safetensors"
        _take_out(experiment, model, ours, seed, step, "float32", overrides, store)
        _translate(ours, layout, out)


def _take_out(
    experiment: Path,
    model: str,
    out: Path,
    seed: int | None,
    step: int | None,
    dtype: str,
    overrides: list[str],
    store: Path,
) -> str:
    """Weights of a store, with their recipe; says what was written."""
    import torch
    from safetensors.torch import load_file, save_file

    from rpe2d_bench.plan.expand import make_plan
    from rpe2d_bench.resolve.load import load_experiment
    from rpe2d_bench.stages.denoiser import MILESTONE, WEIGHTS, WeightsFile
    from rpe2d_bench.stages.weights_file import metadata_of
    from rpe2d_bench.storage.files import sha256_of_file
    from rpe2d_bench.storage.folder import name_of
    from rpe2d_bench.storage.store import Store

    loaded = load_experiment(experiment, overrides)
    if model not in loaded.models:
        raise unknown("model", model, loaded.models)
    trials = [trial for trial in make_plan(loaded, tuple(overrides)).trials if trial.model == model]
    trial = next((trial for trial in trials if seed in (None, trial.seed)), None)
    if trial is None:
        raise UserError(f"--seed {seed}: {model} is trained with the seeds {', '.join(map(str, loaded.seeds))}")
    folder = Store(store).fetch("train", trial.stage.key, typer.echo)
    if folder is None or not (folder / WEIGHTS).is_file():
        raise UserError(
            f"{trial.label} is not trained in the store {name_of(store)}; "
            f"run: rpe2d-bench run {experiment} --store {name_of(store)}"
        )
    file = folder / (WEIGHTS if step is None else MILESTONE.format(step=step))
    if not file.is_file():
        kept = ", ".join(map(str, trial.stage.recipe.milestones)) or "none"
        raise UserError(f"--step {step}: {trial.label} was trained with train.milestones: {kept}")
    recipe = WeightsFile.at(str(file)).recipe
    weights = {name: value.to(getattr(torch, dtype)) for name, value in load_file(file).items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, out, metadata=metadata_of(recipe))
    text = "recipe unknown: they were trained before weights carried it" if recipe is None else "with their recipe"
    return f"{trial.label}: {out}, {out.stat().st_size / 2**20:.2f} MiB, {text}; sha256 {sha256_of_file(out)}"


def _translate(ours: Path, layout: str, out: Path) -> None:
    """Our weights so that the code of another repository gives our outputs."""
    from rpe2d_bench.models.foreign import LAYOUTS
    from rpe2d_bench.stages.foreign_file import exported
    from rpe2d_bench.stages.weights_file import WeightsFile

    weights = exported(ours, WeightsFile.at(str(ours)).recipe, layout)
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".pt":
        import torch

        torch.save(weights, out)
    else:
        from safetensors.torch import save_file

        save_file(weights, out)
    repository = LAYOUTS[layout].repository
    typer.echo(f"{out}: {len(weights)} tensors in the layout of {repository}; build its model with learn_sigma=False")
