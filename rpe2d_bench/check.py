"""What a schema cannot see: references between entries, and options that belong to the tables of encodings and data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rpe2d_bench.config import Experiment
from rpe2d_bench.errors import UserError, suggestion
from rpe2d_bench.yaml_file import Document, Location


def check(experiment: Experiment, document: Document) -> None:
    """Raises UserError, with file and line, for the first thing that cannot work."""
    _references(experiment, document)
    _tables(experiment, document)
    _resolutions(experiment, document)
    _encodings_at_every_grid(experiment, document)


@contextmanager
def _at(document: Document, *location: str | int) -> Iterator[None]:
    """Give the place to whatever is found wrong inside."""
    try:
        yield
    except UserError as error:
        raise document.error(location, str(error)) from None


def _references(experiment: Experiment, document: Document) -> None:
    for name, method in experiment.methods.items():
        if method.model not in experiment.models:
            hint = suggestion(method.model, experiment.models) or f"; models: {', '.join(experiment.models)}"
            at: Location = ("methods", name, "model")
            raise document.error(at, f"method {name!r} names the model {method.model!r}, which does not exist{hint}")
    reference = experiment.report.reference_method
    if reference is not None and reference not in experiment.methods:
        hint = suggestion(reference, experiment.methods) or f"; methods: {', '.join(experiment.methods)}"
        raise document.error(("report", "reference_method"), f"{reference!r} is not a method{hint}")


def _tables(experiment: Experiment, document: Document) -> None:
    from rpe2d_bench import data, diffusion, encodings, metrics
    from rpe2d_bench.data.crops import build_crops
    from rpe2d_bench.encodings import replaced
    from rpe2d_bench.models import preset

    with _at(document, "data"):
        data.validate(experiment.data)
    for name, entry in experiment.models.items():
        with _at(document, "models", name, "encoding"):
            encodings.validate(entry.encoding)
        with _at(document, "models", name, "crops"):
            build_crops(entry.crops)
        with _at(document, "models", name, "model") if entry.model else _at(document, "model", "preset"):
            preset(experiment.model_of(name).preset)
        with _at(document, "models", name, "train") if entry.train else _at(document, "train", "path"):
            diffusion.path(experiment.train_of(name).path)
    for name, method in experiment.methods.items():
        with _at(document, "methods", name):
            encodings.validate(replaced(experiment.models[method.model].encoding, method.replacements), "method")
        at = ("methods", name, "sampler") if method.sampler else ("evaluate", "sampler", "kind")
        with _at(document, *at):
            diffusion.sampler(experiment.sampler_of(name).kind)
    evaluate = experiment.evaluate
    with _at(document, "evaluate", "metrics"):
        metrics.validate(evaluate.metrics, evaluate.features, evaluate.judge)
        dataset = data.build(experiment.data)
        for net in {evaluate.features, evaluate.judge if "accuracy" in evaluate.metrics else None} - {None}:
            metrics.load_net(net, classes=tuple(dataset.class_names))  # raises where it cannot judge these classes
    size, sides = dataset.size(evaluate.split), 1 + len(experiment.seeds)
    if size is not None and size < sides * evaluate.num_samples:
        raise document.error(
            ("evaluate", "num_samples"),
            f"the {evaluate.split} split has {size} pictures; a reference and a floor per seed need "
            f"{sides} x num_samples = {sides * evaluate.num_samples}; write num_samples: {size // sides} or less",
        )
    main = experiment.report.main_metric
    if main not in evaluate.metrics:
        hint = suggestion(main, evaluate.metrics) or f"; measured: {', '.join(evaluate.metrics)}"
        raise document.error(("report", "main_metric"), f"{main!r} is not among evaluate.metrics{hint}")


def _resolutions(experiment: Experiment, document: Document) -> None:
    patches = {int(experiment.model_of(name).preset.partition("/")[2]) for name in experiment.models}
    for number, pair in enumerate(experiment.resolutions):
        for place, resolution in (("train", pair.train), *(("test", test) for test in pair.test)):
            for patch in patches:
                for side in resolution:
                    if side % patch:
                        near = f"{max(patch, side // patch * patch)} or {(side // patch + 1) * patch}"
                        raise document.error(
                            ("resolutions", number, place),
                            f"resolution {side} is not a multiple of the patch size {patch}; write {near}",
                        )


def _encodings_at_every_grid(experiment: Experiment, document: Document) -> None:
    import torch

    from rpe2d_bench.encodings import Context, Grid, build, replaced
    from rpe2d_bench.models import preset

    for name, method in experiment.methods.items():
        options = preset(experiment.model_of(method.model).preset)
        spec = replaced(experiment.models[method.model].encoding, method.replacements)
        with _at(document, "methods", name):
            encoding = build(spec, width=options.width, heads=options.heads)
        for pair in experiment.resolutions:
            grids = [Grid(h // options.patch_size, w // options.patch_size) for h, w in (pair.train, *pair.test)]
            for grid in grids:
                with _at(document, "models", method.model, "encoding"), torch.inference_mode():
                    encoding(Context(grid, grids[0], torch.ones(1)))
