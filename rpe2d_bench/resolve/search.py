"""What can be wrong with `search:`: entries that do not exist, options or values that their entry does not take."""

from __future__ import annotations

from importlib.util import find_spec

from rpe2d_bench.config.experiment import Experiment, Range, Search
from rpe2d_bench.config.yaml_file import Document, Location
from rpe2d_bench.errors import UserError, suggestion
from rpe2d_bench.resolve import validate
from rpe2d_bench.resolve.search_space import Section, applied, ends, metric_of, reduced, space_of

ALL = "*"


class _Placeless(Document):
    """Complaints without a place: the caller knows a better one."""

    def error(self, location: Location, message: str) -> UserError:
        return UserError(message)


def check(experiment: Experiment, document: Document) -> None:
    """Raises UserError, with file and line, for the first thing that cannot work."""
    search = experiment.search
    if search is None:
        return
    _spec(experiment, search, document)
    sections: tuple[Section, ...] = ("models", "methods")
    for section in sections:
        entries = getattr(experiment, section)
        for name, space in getattr(search, section).items():
            if name != ALL and name not in entries:
                hint = suggestion(name, [*entries, ALL]) or f"; {section}: {', '.join(entries)}, or '*' for all"
                raise document.error(("search", section, name), f"search names {name!r}, not one of {section}{hint}")
            for path, choices in space.items():
                at = ("search", section, name, path)
                _path(document, at, section)
                if isinstance(choices, Range) and choices.integer and not (choices.low % 1 == choices.high % 1 == 0):
                    raise document.error(at, f"{path}: the ends of whole numbers are whole numbers")
        for name in entries:
            own = getattr(search, section).get(name, {})
            for path, choices in space_of(experiment, section, name).items():
                at = ("search", section, name if path in own else ALL, path)
                for value in ends(choices):
                    _try(experiment, document, at, section, name, path, value)
    if not any(space_of(experiment, section, name) for section in sections for name in getattr(experiment, section)):
        raise document.error(("search",), "search tries nothing; name options below search.models or search.methods")


def _spec(experiment: Experiment, search: Search, document: Document) -> None:
    from rpe2d_bench import data

    if search.algorithm == "optuna" and find_spec("optuna") is None:
        raise document.error(
            ("search", "algorithm"),
            "optuna is not installed; pip install 'rpe2d-bench[search]', or write algorithm: random",
        )
    if experiment.evaluate.split == "validation":
        raise document.error(
            ("evaluate", "split"),
            "values are chosen on validation images and cannot be compared on them too; write split: test",
        )
    try:
        metric_of(experiment)
    except UserError as error:
        raise document.error(("report", "main_metric"), str(error)) from None
    size = data.build(experiment.data).size("validation")
    if size is not None and size < search.num_samples:
        raise document.error(
            ("search", "num_samples"), f"the validation split has {size} images; write num_samples: {size} or less"
        )
    for model in experiment.models:
        try:
            validate.check(reduced(experiment, "models", model), _Placeless(**vars(document)))
        except UserError as error:
            raise document.error(("search", "resolutions"), f"model {model!r}: {error}") from None


def _path(document: Document, at: Location, section: Section) -> None:
    """What decides how entries depend on each other is not for a search."""
    fixed = {"models": ("init", "checkpoint", "resolution", "mixed"), "methods": ("model",)}[section]
    if (head := str(at[-1]).partition(".")[0]) in fixed:
        raise document.error(at, f"{head} says what is compared; a search cannot choose it")


def _try(
    experiment: Experiment, document: Document, at: Location, section: Section, name: str, path: str, value: object
) -> None:
    try:
        changed = applied(experiment, section, name, {path: value})
        validate.check(reduced(changed, section, name), _Placeless(**vars(document)))
    except UserError as error:
        raise document.error(at, f"{name}, {path}: {error}") from None
