"""Paths of options: what is written at them, and experiments with other values there."""

from __future__ import annotations

from pathlib import Path

from rpe2d_bench.resolve.load import load_experiment
from rpe2d_bench.resolve.search_space import applied, written


def test_the_written_value_knows_defaults_of_recipes_kinds_and_models(file: Path) -> None:
    experiment = load_experiment(
        file,
        [
            "search.models={rpe2d: {train.ema: [0.9, 0.99], encoding.theta: [10, 100], crops.max_zoom: [2, 3]}}",
            "search.methods={rpe2d: {positions.inference: [mean, even], sampler.guidance: [1, 2]}}",
        ],
    )
    assert written(experiment, "models", "rpe2d") == {
        "train.ema": 0.999,
        "encoding.theta": 10000.0,
        "crops.max_zoom": 2.0,
    }
    assert written(experiment, "methods", "rpe2d") == {"positions.inference": "mean", "sampler.guidance": 1.5}


def test_an_option_of_a_part_that_the_model_brings_keeps_the_rest_of_the_part(file: Path) -> None:
    experiment = load_experiment(file)
    changed = applied(experiment, "methods", "rpe2d", {"positions.inference": "even"})
    assert changed.methods["rpe2d"].positions == {"kind": "random", "max_grid": [8, 8], "inference": "even"}
    changed = applied(
        experiment, "models", "rope", {"encoding.logit_scale.value": 1.5, "crops.kind": "resize_and_crop"}
    )
    assert changed.models["rope"].encoding == {"kind": "axial_rope", "logit_scale": {"kind": "constant", "value": 1.5}}
    assert experiment == load_experiment(file)  # nothing was changed in place
