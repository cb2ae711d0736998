"""The command `sample`: images of one method at any resolution, from the trained model in the store."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from rich.console import Console

from rpe2d_bench.config.experiment import Pair
from rpe2d_bench.errors import UserError, unknown
from rpe2d_bench.plan.expand import make_plan, size
from rpe2d_bench.plan.precision import Precisions
from rpe2d_bench.resolution import Resolution
from rpe2d_bench.resolve.load import load_experiment
from rpe2d_bench.search.known import load
from rpe2d_bench.stages import MeasureStage, SampleStage
from rpe2d_bench.stages.run_context import RunContext
from rpe2d_bench.storage import images_file
from rpe2d_bench.storage.folder import name_of
from rpe2d_bench.storage.store import Store


def sample_method(
    path: Path,
    overrides: tuple[str, ...],
    method: str,
    resolution: str,
    out: Path,
    count: int,
    seed: int | None,
    store: Path,
) -> None:
    """Write `count` images as a .png grid, or as .npz with arr_0 [N, Y, X, 3] and labels in arr_1, as ADM's evaluator
    and `measure` read it."""
    from PIL import Image

    from rpe2d_bench.models.cpu import keep_freed_memory

    if out.suffix.lower() not in (".png", ".npz"):
        raise UserError(f"--out {out}: write a file that ends in .png (a grid) or .npz (for evaluators)")
    if count < 1:
        raise UserError(f"--count {count}: ask for at least one image")
    if method not in (methods := load_experiment(path, overrides).methods):
        raise unknown("method", method, methods)
    place, name = Store(store), name_of(store.resolve())
    resolved, searching = load(path, overrides, [method], place)
    if searching and not searching.finished:
        raise UserError(f"the search of {path} has not ended in the store {name}; run: rpe2d-bench run {path}")
    experiment = resolved.experiment
    seed = experiment.seeds[0] if seed is None else seed
    test = Resolution.parse(resolution)
    model = resolved.models[resolved.methods[method].entry.model]
    patch = model.options.patch_size * resolved.downsampling
    if any(side % patch for side in test):
        raise UserError(f"--resolution {resolution}: every side has to be a multiple of a token's {patch} px")
    pair = experiment.resolutions[0]
    wanted = experiment.model_copy(
        update={
            "seeds": (seed,),
            "resolutions": (Pair(train=pair.train, test=(test,)),),
            "evaluate": experiment.evaluate.model_copy(update={"num_samples": max(count, 2), "metrics": ("fd",)}),
        }
    )
    trial = make_plan(
        dataclasses.replace(resolved, experiment=wanted), overrides, Precisions(place, wanted.resources)
    ).trials[0]
    if not place.has("train", trial.stage.key):
        others = "" if seed in experiment.seeds else f' --set "seeds=[{seed}]"'
        raise UserError(
            f"{trial.label} of {path} is not trained in the store {name}; "
            f"run: rpe2d-bench run {path} --only {method}{others} --store {name}"
        )
    measure = trial.cells[0].measure
    assert isinstance(measure, MeasureStage)
    stage = measure.generated
    assert isinstance(stage, SampleStage)
    keep_freed_memory()
    folder = stage.make(RunContext(place, experiment.resources))
    images = images_file.first(folder / images_file.NAME, count)
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix.lower() == ".npz":
        labels = images_file.labels(folder / images_file.NAME)[:count]
        with out.open("wb") as file:  # np.savez would add .npz to a name that ends in .NPZ
            np.savez(file, arr_0=np.repeat(images, 3 // images.shape[1], axis=1).transpose(0, 2, 3, 1), arr_1=labels)
    else:
        Image.fromarray(images_file.grid(images, 10)).save(out)
    Console().print(f"{len(images)} images of {method} at {size(test)}: {out}", highlight=False, soft_wrap=True)
