"""`evaluate.guidance`: every method once more at each of several guidances; reports say whether their order holds."""

from __future__ import annotations

from rpe2d_bench.config.experiment import Experiment, MethodEntry
from rpe2d_bench.config.yaml_file import Document


def swept(experiment: Experiment, document: Document) -> Experiment:
    """The experiment with a method NAME-wX for every method and guidance X but the sampler's own.

    A method that sets its own guidance stays alone. Raises UserError, with the place, for a name that is taken.
    """
    usual, methods = experiment.evaluate.sampler.guidance, dict[str, MethodEntry]()
    for name, method in experiment.methods.items():
        methods[name] = method
        if "guidance" in method.sampler:
            continue
        for guidance in experiment.evaluate.guidance:
            if guidance == usual:
                continue
            other = f"{name}-w{guidance:g}"
            if other in experiment.methods:
                raise document.error(("methods", other), f"evaluate.guidance makes a method {other!r}; rename this one")
            methods[other] = method.model_copy(update={"sampler": {**method.sampler, "guidance": guidance}})
    if experiment.search is not None and len(methods) > len(experiment.methods):
        raise document.error(
            ("evaluate", "guidance"), "a search chooses values at one guidance; leave out search or evaluate.guidance"
        )
    return experiment.model_copy(update={"methods": methods})
