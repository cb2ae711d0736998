"""Pipelines from outside in an experiment: what stands for their training, and what cannot work."""

from __future__ import annotations

from rpe2d_bench.config.yaml_file import Document, at
from rpe2d_bench.encodings.adapters.families import put
from rpe2d_bench.errors import UserError
from rpe2d_bench.resolution import Resolution
from rpe2d_bench.resolve.resolve import Resolved
from rpe2d_bench.sampling.pipeline import asks_for, takes_sizes
from rpe2d_bench.stages.pipeline import PipelineStage, rules_of


def pipeline_training(resolved: Resolved, model: str, resolution: Resolution, seed: int) -> PipelineStage:
    """What stands where a training would."""
    chosen, dataset = resolved.models[model], resolved.dataset
    assert chosen.pipeline is not None
    assert chosen.entry.pipeline is not None
    return PipelineStage(
        data=resolved.data,
        revision=dataset.revision,
        channels=3,
        num_classes=dataset.num_classes,
        model=chosen.size,
        recipe=chosen.recipe,
        encoding=chosen.encoding,
        crops=chosen.crops,
        resolution=resolution,
        seed=seed,
        folder=chosen.pipeline,
        dtype=chosen.entry.pipeline.dtype,
    )


def labels_of(resolved: Resolved, model: str) -> tuple[int, ...]:
    """The pipeline's label of each class of the data; none where it is asked by prompts.

    Raises UserError where labels and classes do not fit.
    """
    chosen = resolved.models[model]
    assert chosen.pipeline is not None
    assert chosen.entry.pipeline is not None
    known = int(chosen.pipeline.config.get("num_embeds_ada_norm") or 0)
    classes, written = resolved.dataset.num_classes, chosen.entry.pipeline.labels
    if not written and known != classes:
        raise UserError(
            f"the data has {classes} classes and the pipeline {known}; write pipeline.labels: its label for each class"
        )
    if written and (len(written) != classes or not all(0 <= label < known for label in written)):
        raise UserError(
            f"pipeline.labels needs {classes} labels, one for each class of the data, from 0 to {known - 1}"
        )
    return written or tuple(range(classes))


def check_pipelines(resolved: Resolved, document: Document) -> None:
    """Raises UserError, with file and line, for what cannot work with a pipeline."""
    from rpe2d_bench import metrics

    experiment = resolved.experiment
    texts = False
    for name, model in resolved.models.items():
        if model.pipeline is None:
            continue
        with at(document, "models", name, "pipeline"):
            if resolved.dataset.channels != 3:
                raise UserError("pipelines make images of three channels; write data.channels: 3")
            if asks_for(model.pipeline) == "class_labels":
                labels_of(resolved, name)
            elif resolved.prompts is None:
                raise UserError(f"{model.pipeline.pipeline} takes text; write prompts: {{file: prompts.txt}}")
            else:
                texts = True
        for number, pair in enumerate(experiment.resolutions):
            for place, size in enumerate(pair.test):
                if size.height != size.width and not takes_sizes(model.pipeline):
                    raise document.error(
                        ("resolutions", number, "test", place),
                        f"{model.pipeline.pipeline} makes squares only; {size} is none",
                    )
    if experiment.prompts is not None and not texts:
        raise document.error(("prompts",), "no pipeline here takes text; leave prompts out")
    if not any(model.pipeline for model in resolved.models.values()):
        return
    evaluate = experiment.evaluate
    asked = metrics.split(evaluate.metrics, evaluate.features, evaluate.judge)
    if asked.inside or asked.denoising:
        name = next(m for m in evaluate.metrics if m in asked.inside or m not in asked.images)
        raise document.error(
            ("evaluate", "metrics"), f"{name} looks into a model of ours, which a pipeline is not; leave it out"
        )
    if texts and "accuracy" in evaluate.metrics:
        raise document.error(("evaluate", "metrics"), "accuracy needs classes, and prompts have none; leave it out")
    if experiment.search is not None:
        raise document.error(("search",), "a search trains models; leave it out of an experiment with pipelines")
    for name, method in resolved.methods.items():
        folder = resolved.models[method.entry.model].pipeline
        if folder is not None and method.entry.replacements:
            with at(document, "methods", name):
                pair = experiment.resolutions[0]
                stage = pipeline_training(resolved, method.entry.model, pair.train, experiment.seeds[0])
                put(folder.empty, rules_of(method.encoding, stage))()
