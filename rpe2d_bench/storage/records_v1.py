"""Lines of schema version 1, in which details were one open mapping, as documents of version 2.

Version 1 recorded no grid. That of a training follows from its number of tokens, since tokens are square; that of a
cell from the patch that its model is named with, unless an autoencoder of unknown factor stands between.
"""

from __future__ import annotations

import math
from typing import Any

from rpe2d_bench.config.experiment import Experiment
from rpe2d_bench.resolution import Size
from rpe2d_bench.storage.record_parts import (
    MeasurementDetails,
    Part,
    SamplingDetails,
    Tokens,
    TrainingDetails,
)


def upgraded(document: dict[str, Any], experiment: Experiment) -> dict[str, Any]:
    """The same result, of that experiment, in version 2.

    Raises ValueError (also pydantic's) and KeyError for what is no record of version 1.
    """
    details = document.get("details", {})
    kept = {name: value for name, value in document.items() if name != "details"} | {"schema_version": 2}
    if not details:
        return kept
    if document["stage"] == "train":
        return kept | {"training": _training(document, details, experiment)}
    kept["measurement"] = _only(MeasurementDetails, details)
    if "sampler" in details:
        kept["sampling"] = _only(SamplingDetails, details) | {"grid": _grid_of_cell(document, details, experiment)}
    return kept


def _only(part: type[Part], details: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in details.items() if name in part.model_fields}


def _training(document: dict[str, Any], details: dict[str, Any], experiment: Experiment) -> dict[str, Any]:
    model = document["model"]
    resolution = experiment.models[model].resolution or document["train_resolution"]
    side = math.sqrt(resolution[0] * resolution[1] / details["tokens"])
    written = experiment.train_of(model).precision
    return {
        "flops": details["steps"] * details["flops_per_step"],  # where no stages before it were counted
        "precision": None if written == "auto" else written,
        **_only(TrainingDetails, details),
        "grid": _tokens(resolution, side),
    }


def _grid_of_cell(document: dict[str, Any], details: dict[str, Any], experiment: Experiment) -> Tokens | None:
    if experiment.autoencoder is not None:
        return None
    patch = int(experiment.model_of(document["model"]).preset.partition("/")[2])
    return _tokens(details["generated_resolution"], patch)


def _tokens(resolution: Size, side: float) -> Tokens:
    return round(resolution[0] / side), round(resolution[1] / side)
