"""From an experiment file to a checked Experiment; every complaint has its file, line and remedy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from rpe2d_bench.config import yaml_file
from rpe2d_bench.config.experiment import Experiment, Options
from rpe2d_bench.config.guidance_sweep import swept
from rpe2d_bench.config.validation_errors import explain
from rpe2d_bench.errors import UserError, hint
from rpe2d_bench.resolve.checkpoints import complete, found
from rpe2d_bench.resolve.resolve import Resolved
from rpe2d_bench.resolve.search import check as check_search
from rpe2d_bench.resolve.search_space import chain
from rpe2d_bench.resolve.validate import check


def load_experiment(path: Path, overrides: Sequence[str] = (), only: Sequence[str] = ()) -> Experiment:
    """Read and check an experiment file; `overrides` are PATH.TO.KEY=VALUE, `only` keeps these methods.

    Raises UserError with file, line and a suggestion.
    """
    return load(path, overrides, only).experiment


def load(path: Path, overrides: Sequence[str] = (), only: Sequence[str] = ()) -> Resolved:
    """`load_experiment` with the objects that the file's names stand for."""
    document = yaml_file.read(path)
    for override in overrides:
        document.override(override)
    complete(document)
    experiment = swept(located(_validated(document), document.path.parent), document)
    if experiment.search is not None:
        resolved = check(experiment, document)
        check_search(experiment, document)  # of all methods, since a model is judged by the first that uses it
        if not only:
            return resolved
    return check(keep_methods(experiment, only) if only else experiment, document)


def keep_methods(experiment: Experiment, only: Sequence[str]) -> Experiment:
    """The experiment with these methods alone and the models they need; raises UserError for an unknown one."""
    for name in only:
        if name not in experiment.methods:
            raise UserError(f"--only {name}: no such method{hint(name, experiment.methods, 'methods')}")
    methods = {name: method for name, method in experiment.methods.items() if name in only}
    used = {name for method in methods.values() for name in chain(experiment, method.model)}
    models = {name: model for name, model in experiment.models.items() if name in used}
    report = experiment.report
    if report.reference_method not in methods:
        report = report.model_copy(update={"reference_method": None})
    return experiment.model_copy(update={"methods": methods, "models": models, "report": report})


def located(experiment: Experiment, folder: Path) -> Experiment:
    """Paths of weights, prompts and statistics as seen from the working directory.

    What lies beside the experiment file comes first, what lies beside the shipped experiments last.
    """
    models = dict(experiment.models)
    for name, entry in models.items():
        if entry.checkpoint is not None:
            weights = entry.checkpoint.model_copy(update={"path": str(found(entry.checkpoint.path, folder))})
            models[name] = entry.model_copy(update={"checkpoint": weights})
        if entry.pipeline is not None and (beside := folder / entry.pipeline.path).is_dir():
            models[name] = entry.model_copy(
                update={"pipeline": entry.pipeline.model_copy(update={"path": str(beside)})}
            )
    update: dict[str, Any] = {"models": models}
    if experiment.prompts is not None and (beside := folder / experiment.prompts.file).is_file():
        update["prompts"] = experiment.prompts.model_copy(update={"file": str(beside)})
    if (reference := experiment.evaluate.reference) is not None:
        written = reference.statistics
        paths = (
            str(found(written, folder))
            if isinstance(written, str)
            else {size: str(found(path, folder)) for size, path in written.items()}
        )
        there = reference.model_copy(update={"statistics": paths})
        update["evaluate"] = experiment.evaluate.model_copy(update={"reference": there})
    return experiment.model_copy(update=update)


def _validated(document: yaml_file.Document) -> Experiment:
    try:
        experiment = Experiment.model_validate(document.data)
        # The parts that replace others are checked as what they become, at the place where they were written.
        for name, model in experiment.models.items():
            _check_partial(document, ("models", name, "train"), experiment.train, model.train)
            _check_partial(document, ("models", name, "model"), experiment.model, model.model)
        for name, method in experiment.methods.items():
            _check_partial(document, ("methods", name, "sampler"), experiment.evaluate.sampler, method.sampler)
        return experiment
    except ValidationError as error:
        raise document.error(*explain(error, Experiment)) from None


def _check_partial(document: yaml_file.Document, at: tuple[str, ...], whole: BaseModel, options: Options) -> None:
    """Options that replace some of another part's."""
    try:
        type(whole).model_validate({**whole.model_dump(), **options})
    except ValidationError as error:
        raise document.error(*explain(error, type(whole), at)) from None
