"""What a schema cannot see: references between entries, and what cannot work, each with its place in the file."""

from __future__ import annotations

from pathlib import Path

from rpe2d_bench.config.experiment import Experiment
from rpe2d_bench.config.yaml_file import Document, Location, at
from rpe2d_bench.errors import UserError, hint
from rpe2d_bench.resolution import MOST_TOKENS, Resolution
from rpe2d_bench.resolve.resolve import Resolved, resolve


def check(experiment: Experiment, document: Document) -> Resolved:
    """The experiment with its objects. Raises UserError, with file and line, for the first thing that cannot work."""
    _references(experiment, document)
    _chains(experiment, document)
    resolved = resolve(experiment, document)
    _evaluation(resolved, document)
    _resolutions(resolved, document)
    if any(model.pipeline is not None for model in resolved.models.values()):
        from rpe2d_bench.resolve.pipelines import check_pipelines  # torch, which most mistakes need not wait for

        check_pipelines(resolved, document)
    _encodings_at_every_grid(resolved, document)
    _weights(resolved, document)
    return resolved


def _references(experiment: Experiment, document: Document) -> None:
    for name, method in experiment.methods.items():
        if method.model not in experiment.models:
            raise document.error(
                ("methods", name, "model"),
                f"method {name!r} names the model {method.model!r}, which does not exist"
                + hint(method.model, experiment.models, "models"),
            )
    reference = experiment.report.reference_method
    if reference is not None and reference not in experiment.methods:
        known = hint(reference, experiment.methods, "methods")
        raise document.error(("report", "reference_method"), f"{reference!r} is not a method{known}")


def _chains(experiment: Experiment, document: Document) -> None:
    """What a model starts from exists, is not itself, and fits."""
    used = set(experiment.compared)
    for name, entry in experiment.models.items():
        if entry.checkpoint is not None:
            from rpe2d_bench.stages.denoiser import WeightsFile  # torch, which most mistakes need not wait for

            with at(document, "models", name, "checkpoint"):
                WeightsFile.of(entry.checkpoint)
        if entry.pipeline is not None:
            continue
        if not experiment.train_of(name).steps and entry.init is None and entry.checkpoint is None:
            raise document.error(
                ("models", name), f"model {name!r} has train.steps: 0 and no init or checkpoint; give it weights"
            )
        chain = [name]
        while (init := experiment.models[chain[-1]].init) is not None:
            init_at: Location = ("models", chain[-1], "init", "model")
            if init.model not in experiment.models:
                known = hint(init.model, experiment.models, "models")
                raise document.error(
                    init_at, f"model {chain[-1]!r} starts from {init.model!r}, which does not exist{known}"
                )
            if init.model in chain:
                raise document.error(init_at, f"model {chain[-1]!r} starts, in the end, from itself: {init.model!r}")
            if experiment.model_of(init.model) != experiment.model_of(name):
                raise document.error(
                    init_at, f"models {name!r} and {init.model!r} differ in size: give both the same model"
                )
            chain.append(init.model)
        used |= set(chain) if name in used else set()
    for name in experiment.models:
        if name not in used:
            raise document.error(
                ("models", name), f"model {name!r} is neither compared nor started from; name it in methods or init"
            )


def _evaluation(resolved: Resolved, document: Document) -> None:
    from rpe2d_bench import metrics
    from rpe2d_bench.data.absent import ABSENT
    from rpe2d_bench.data.subsets import even_subset

    experiment, dataset = resolved.experiment, resolved.dataset
    evaluate = experiment.evaluate
    with at(document, "evaluate", "metrics"):
        metrics.validate(evaluate.metrics, evaluate.features, evaluate.judge, model=True)
        if "accuracy" in evaluate.metrics and evaluate.judge is not None:
            metrics.load_net(evaluate.judge, classes=tuple(dataset.class_names))  # raises where it cannot judge these
    with at(document, "evaluate", "features" if evaluate.weights is None else "weights"):
        weights = None if evaluate.weights is None else Path(evaluate.weights)
        net = metrics.load_net(evaluate.features, weights, classes=tuple(dataset.class_names))
    _statistics(experiment, document, net.num_features)
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
        with at(document, "evaluate", "labels"):
            even_subset(dataset, evaluate.split, 0, sides * evaluate.num_samples)
    main = experiment.report.main_metric
    if main not in evaluate.metrics:
        known = hint(main, evaluate.metrics, "measured")
        raise document.error(("report", "main_metric"), f"{main!r} is not among evaluate.metrics{known}")
    if (main, evaluate.features) == ("fd", "inception"):
        raise document.error(
            ("report", "main_metric"), "the 'fd' of Inception's features is recorded as 'fid'; write fid"
        )


def _statistics(experiment: Experiment, document: Document, width: int) -> None:
    """Published statistics are looked at, are there for every test size, and fit the net."""
    from rpe2d_bench.metrics.statistics_file import StatisticsFile, check_use

    evaluate = experiment.evaluate
    if evaluate.reference is None:
        return
    with at(document, "evaluate", "reference"):
        check_use(evaluate.features, evaluate.metrics)
        for test in dict.fromkeys(test for pair in experiment.resolutions for test in pair.test):
            if (file := evaluate.reference.of(test)) is None:
                raise UserError(
                    f"statistics has no file for {test}; add '{test}': FILE, or write one FILE for all sizes"
                )
            StatisticsFile(file).moments(width)


def _resolutions(resolved: Resolved, document: Document) -> None:
    experiment, cell = resolved.experiment, resolved.downsampling
    patches = {cell * model.options.patch_size for model in resolved.models.values()}
    what = "patch size" if cell == 1 else f"autoencoder's {cell} px times the patch size,"
    places: list[tuple[Location, Resolution]] = []
    for number, pair in enumerate(experiment.resolutions):
        places += [(("resolutions", number, "train"), pair.train)]
        places += [(("resolutions", number, "test"), test) for test in pair.test]
        if twice := next((test for test in pair.test if pair.test.count(test) > 1), None):
            raise document.error(("resolutions", number, "test"), f"{twice} is tested twice; write it once")
    for name, entry in experiment.models.items():
        places += [(("models", name, "resolution"), entry.resolution)] if entry.resolution else []
        places += [(("models", name, "mixed"), part.resolution) for part in entry.mixed]
        if entry.init is not None and entry.init.resolution is not None:
            places.append((("models", name, "init", "resolution"), entry.init.resolution))
    for location, resolution in places:
        for patch in patches:
            _tokens(document, location, resolution, patch)
            for side in resolution:
                if side % patch:
                    near = f"{max(patch, side // patch * patch)} or {(side // patch + 1) * patch}"
                    raise document.error(
                        location, f"resolution {side} is not a multiple of the {what} {patch}; write {near}"
                    )


def _tokens(document: Document, location: Location, resolution: Resolution, patch: int) -> None:
    """Before anything is computed for a resolution whose encoding alone would fill the memory."""
    height, width = resolution.tokens(patch)
    if height * width > MOST_TOKENS:
        raise document.error(
            location,
            f"{resolution.height}x{resolution.width} px are {height * width:,} tokens ({height:,} x {width:,}, patches "
            f"of {patch} px), more than the {MOST_TOKENS:,} that are supported; write a smaller resolution",
        )


def _encodings_at_every_grid(resolved: Resolved, document: Document) -> None:
    import torch

    from rpe2d_bench.encodings import Context, Grid
    from rpe2d_bench.encodings.spec import in_one_sentence

    for name, method in resolved.methods.items():
        model = resolved.models[method.entry.model]
        with at(document, "methods", name):
            encoding = method.encoding.build(width=model.options.width, heads=model.options.heads)
        for pair in resolved.experiment.resolutions:
            mixed = [part.resolution for part in model.entry.mixed]
            sizes = (model.entry.resolution or pair.train, *mixed, *pair.test)
            grids = [Grid(*size.tokens(model.options.patch_size, resolved.downsampling)) for size in sizes]
            for grid in grids:
                place, what = (
                    at(document, "models", method.entry.model, "encoding"),
                    f"method {name!r} on {grid} tokens",
                )
                with place, in_one_sentence(what), torch.inference_mode():
                    encoding(Context(grid, grids[0], torch.ones(1)))


def _weights(resolved: Resolved, document: Document) -> None:
    """Weights from files fit, and are used as they were trained unless the file says to trust them."""
    experiment = resolved.experiment
    for name, entry in experiment.models.items():
        if entry.checkpoint is None:
            continue
        from rpe2d_bench.resolve.trainings import training
        from rpe2d_bench.stages.denoiser import fits
        from rpe2d_bench.stages.weights_file import refuse

        with at(document, "models", name, "checkpoint"):
            for pair in experiment.resolutions:
                stage = training(resolved, name, pair.train, experiment.seeds[0])
                refuse(stage, entry.checkpoint.path)
                fits(stage)
