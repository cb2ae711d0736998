"""A pipeline from outside as a model of an experiment, and its sampler."""

from __future__ import annotations

from typing import Any

from rpe2d_bench.config.experiment import Experiment, Model, ModelEntry, Sampler, Train
from rpe2d_bench.data.crops import build_crops
from rpe2d_bench.encodings import EncodingSpec
from rpe2d_bench.errors import UserError
from rpe2d_bench.models import DiTOptions
from rpe2d_bench.sampling.pipeline import scheduler_of
from rpe2d_bench.sampling.pipeline_folder import PipelineFolder

# Of our sampler; the pipeline's scheduler and dtype decide these, and its transformer is never compiled
UNMAPPED = {
    "kind": "its own scheduler decides",
    "shift": "its own scheduler decides",
    "precision": "its dtype decides",
    "compile": "it is sampled uncompiled",
}


def pipeline_model(experiment: Experiment, entry: ModelEntry) -> dict[str, Any]:
    """What a resolved model says of an entry with `pipeline:`, by name. Raises UserError where the folder is none."""
    assert entry.pipeline is not None
    if experiment.autoencoder is not None:
        raise UserError("a pipeline has an autoencoder of its own; leave autoencoder out")
    folder = PipelineFolder.of(entry.pipeline.path)
    seen, px = folder.spectrum, folder.pixels_per_token
    kind = "axial_sincos" if folder.family.adds else "axial_rope"
    # Height and width may have unlike shares of a head; what is said of its encoding is said of the rows' channels.
    head = 4 * seen.pairs[0]
    return {
        "size": Model(preset=f"{folder.transformer}-{folder.digest[:8]}/{px}"),
        "options": DiTOptions(head * folder.heads, folder.depth, folder.heads, px),
        "recipe": Train(steps=0, precision="float32"),
        "encoding": EncodingSpec.parse({"kind": kind, "theta": seen.theta}),
        "crops": build_crops({"kind": "none"}),
        "pipeline": folder,
    }


def sampler_of(experiment: Experiment, method: str, folder: PipelineFolder) -> Sampler:
    """Steps and guidance for the pipeline's own scheduler. Raises UserError for what it cannot be told."""
    entry = experiment.methods[method]
    written = experiment.evaluate.sampler.model_fields_set | set(entry.sampler)
    for name, why in UNMAPPED.items():
        if name in written:
            raise UserError(f"sampler.{name} does not reach the pipeline of {entry.model!r}, {why}; leave it out")
    for name, written_there in (("conditioning", any(entry.conditioning)), ("refine", entry.refine is not None)):
        if written_there:
            raise UserError(f"method {method!r}: {name} does not reach a pipeline; leave it out")
    precision = "bf16" if experiment.models[entry.model].pipeline.dtype == "bf16" else "float32"  # type: ignore[union-attr]
    return experiment.sampler_of(method).model_copy(update={"kind": scheduler_of(folder), "precision": precision})
