"""What a schema cannot see: references between entries, and options that belong to the tables of encodings and data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rpe2d_bench.config.experiment import Experiment
from rpe2d_bench.config.yaml_file import Document, Location
from rpe2d_bench.errors import UserError, suggestion

MOST_TOKENS = 2**18  # of one image: 512 x 512; attention over more takes hours an image


def check(experiment: Experiment, document: Document) -> None:
    """Raises UserError, with file and line, for the first thing that cannot work."""
    _references(experiment, document)
    _chains(experiment, document)
    _tables(experiment, document)
    _resolutions(experiment, document)
    _encodings_at_every_grid(experiment, document)
    _weights(experiment, document)


@contextmanager
def _at(document: Document, *location: str | int) -> Iterator[None]:
    """Give the place to whatever is found wrong inside."""
    try:
        yield
    except UserError as error:
        raise document.error((*location, *getattr(error, "place", ())), str(error)) from None


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


def _chains(experiment: Experiment, document: Document) -> None:
    """What a model starts from exists, is not itself, and fits."""
    used = set(experiment.compared)
    for name, entry in experiment.models.items():
        if entry.checkpoint is not None:
            from rpe2d_bench.stages.denoiser import WeightsFile  # torch, which most mistakes need not wait for

            with _at(document, "models", name, "checkpoint"):
                WeightsFile.at(entry.checkpoint.path)
        if not experiment.train_of(name).steps and entry.init is None and entry.checkpoint is None:
            raise document.error(
                ("models", name), f"model {name!r} has train.steps: 0 and no init or checkpoint; give it weights"
            )
        chain = [name]
        while (init := experiment.models[chain[-1]].init) is not None:
            at: Location = ("models", chain[-1], "init", "model")
            if init.model not in experiment.models:
                hint = suggestion(init.model, experiment.models) or f"; models: {', '.join(experiment.models)}"
                raise document.error(at, f"model {chain[-1]!r} starts from {init.model!r}, which does not exist{hint}")
            if init.model in chain:
                raise document.error(at, f"model {chain[-1]!r} starts, in the end, from itself: {init.model!r}")
            if experiment.model_of(init.model) != experiment.model_of(name):
                raise document.error(at, f"models {name!r} and {init.model!r} differ in size: give both the same model")
            chain.append(init.model)
        used |= set(chain) if name in used else set()
    for name in experiment.models:
        if name not in used:
            raise document.error(
                ("models", name), f"model {name!r} is neither compared nor started from; name it in methods or init"
            )


def _tables(experiment: Experiment, document: Document) -> None:
    from rpe2d_bench import autoencoders, data, diffusion, encodings, metrics
    from rpe2d_bench.data.absent import ABSENT
    from rpe2d_bench.data.crops import build_crops
    from rpe2d_bench.data.subsets import even_subset
    from rpe2d_bench.encodings import replaced
    from rpe2d_bench.models import preset

    with _at(document, "data"):
        dataset = data.build(experiment.data)
    if experiment.autoencoder is not None:
        with _at(document, "autoencoder"):
            autoencoders.describe(experiment.autoencoder)
            if dataset.channels != 3:
                raise UserError("an autoencoder takes images of three channels; write data.channels: 3")
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
        metrics.validate(evaluate.metrics, evaluate.features, evaluate.judge, model=True)
        if "accuracy" in evaluate.metrics and evaluate.judge is not None:
            metrics.load_net(evaluate.judge, classes=tuple(dataset.class_names))  # raises where it cannot judge these
    with _at(document, "evaluate", "features" if evaluate.weights is None else "weights"):
        weights = None if evaluate.weights is None else Path(evaluate.weights)
        metrics.load_net(evaluate.features, weights, classes=tuple(dataset.class_names))
    sampled = metrics.split(evaluate.metrics, evaluate.features, evaluate.judge).sampled
    size, sides = dataset.size(evaluate.split) if sampled else None, 1 + len(experiment.seeds)
    if size is not None and size < sides * evaluate.num_samples:
        raise document.error(
            ("evaluate", "num_samples"),
            f"the {evaluate.split} split has {size} images; a reference and a floor per seed (other real images, which "
            f"say what a perfect score is) need {sides} x num_samples = {sides * evaluate.num_samples}; "
            + (
                f"write num_samples: {size // sides} or less"
                if size // sides > 1
                else f"give more images or a larger share to {evaluate.split}, or write fewer seeds"
            ),
        )
    if size is not None and evaluate.labels == "balanced" and dataset.revision != ABSENT:
        with _at(document, "evaluate", "labels"):
            even_subset(dataset, evaluate.split, 0, sides * evaluate.num_samples)
    main = experiment.report.main_metric
    if main not in evaluate.metrics:
        hint = suggestion(main, evaluate.metrics) or f"; measured: {', '.join(evaluate.metrics)}"
        raise document.error(("report", "main_metric"), f"{main!r} is not among evaluate.metrics{hint}")
    if (main, evaluate.features) == ("fd", "inception"):
        raise document.error(
            ("report", "main_metric"), "the 'fd' of Inception's features is recorded as 'fid'; write fid"
        )


def _resolutions(experiment: Experiment, document: Document) -> None:
    cell = _downsampling(experiment)
    patches = {cell * int(experiment.model_of(name).preset.partition("/")[2]) for name in experiment.models}
    what = "patch size" if cell == 1 else f"autoencoder's {cell} px times the patch size,"
    places: list[tuple[Location, tuple[int, int]]] = []
    for number, pair in enumerate(experiment.resolutions):
        places += [(("resolutions", number, "train"), pair.train)]
        places += [(("resolutions", number, "test"), test) for test in pair.test]
    for name, entry in experiment.models.items():
        places += [(("models", name, "resolution"), entry.resolution)] if entry.resolution else []
        places += [(("models", name, "mixed"), part.resolution) for part in entry.mixed]
        if entry.init is not None and entry.init.resolution is not None:
            places.append((("models", name, "init", "resolution"), entry.init.resolution))
    for at, resolution in places:
        for patch in patches:
            _tokens(document, at, resolution, patch)
            for side in resolution:
                if side % patch:
                    near = f"{max(patch, side // patch * patch)} or {(side // patch + 1) * patch}"
                    raise document.error(at, f"resolution {side} is not a multiple of the {what} {patch}; write {near}")


def _tokens(document: Document, at: Location, resolution: tuple[int, int], patch: int) -> None:
    """Before anything is computed for a resolution whose encoding alone would fill the memory."""
    height, width = (side // patch for side in resolution)
    if height * width > MOST_TOKENS:
        raise document.error(
            at,
            f"{resolution[0]}x{resolution[1]} px are {height * width:,} tokens ({height:,} x {width:,}, patches of "
            f"{patch} px), more than the {MOST_TOKENS:,} that are supported; write a smaller resolution",
        )


def _downsampling(experiment: Experiment) -> int:
    """Pixels of a side of what the model sees as one."""
    from rpe2d_bench import autoencoders

    return 1 if experiment.autoencoder is None else autoencoders.describe(experiment.autoencoder).downsampling


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
            trained = experiment.models[method.model].resolution or pair.train
            mixed = [part.resolution for part in experiment.models[method.model].mixed]
            sizes = (trained, *mixed, *pair.test)
            pixels = _downsampling(experiment) * options.patch_size
            grids = [Grid(h // pixels, w // pixels) for h, w in sizes]
            for grid in grids:
                with _at(document, "models", method.model, "encoding"), torch.inference_mode():
                    encoding(Context(grid, grids[0], torch.ones(1)))


def _weights(experiment: Experiment, document: Document) -> None:
    """Weights from files fit, and are used as they were trained unless the file says to trust them."""
    for name, entry in experiment.models.items():
        if entry.checkpoint is None:
            continue
        from rpe2d_bench.plan.expand import trainings_of
        from rpe2d_bench.stages.denoiser import fits
        from rpe2d_bench.stages.weights_file import refuse

        with _at(document, "models", name, "checkpoint"):
            for stage in trainings_of(experiment, name):
                refuse(stage, entry.checkpoint.path)
                fits(stage)
