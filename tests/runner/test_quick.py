"""The first look: shipped weights are those that their page names, are used as trained, and can be left out."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from rpe2d_bench.plan.expand import Plan, make_plan
from rpe2d_bench.resolve.load import load_experiment
from rpe2d_bench.stages.weights_file import WeightsFile

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
WEIGHTS = sorted((EXPERIMENTS / "weights").glob("*.safetensors"))
MODELS = ["rope", "rpe2d_no_crops"]


def planned(name: str, *overrides: str) -> Plan:
    return make_plan(load_experiment(EXPERIMENTS / f"{name}.yaml", overrides), overrides)


@pytest.mark.parametrize("path", WEIGHTS, ids=lambda path: path.stem)
def test_the_page_names_every_file_with_its_digest(path: Path) -> None:
    rows = dict(re.findall(r"^\| (\S+\.safetensors) \|.*`([0-9a-f]{64})` \|$", page(), re.MULTILINE))
    assert sorted(rows) == [path.name for path in WEIGHTS]
    assert rows[path.name] == hashlib.sha256(path.read_bytes()).hexdigest()


def page() -> str:
    return (EXPERIMENTS / "weights" / "README.md").read_text()


@pytest.mark.parametrize("path", WEIGHTS, ids=lambda path: path.stem)
def test_every_file_has_a_recipe_of_committed_code(path: Path) -> None:
    recipe = WeightsFile.at(str(path)).recipe
    assert recipe is not None
    assert re.fullmatch("[0-9a-f]{40}", recipe["commit"])
    assert recipe["uncommitted_changes"] is False
    assert recipe["train"]["steps"] == 1200
    assert recipe["train"]["precision"] == "bf16"


def test_shipped_weights_are_used_as_they_were_trained() -> None:
    plan = planned("quick")
    assert plan.remarks() == {}
    assert [(trial.model, trial.stage.recipe.steps) for trial in plan.trials] == [(name, 0) for name in MODELS]
    assert sorted(Path(trial.stage.weights.path).name for trial in plan.trials if trial.stage.weights) == [
        path.name for path in WEIGHTS
    ]


def test_weights_left_out_are_the_trainings_of_the_main_experiment() -> None:
    left_out = [f"models.{name}.checkpoint=null" for name in MODELS]
    ours = planned("quick", *left_out, "train.precision=float32")
    theirs = planned("res_generalization", "seeds=[0]", "train.precision=float32")
    assert [trial.stage.key for trial in ours.trials] == [trial.stage.key for trial in theirs.trials]


def test_the_shipped_recipes_are_those_of_the_main_experiment() -> None:
    # ... so that a change of the main experiment asks for new weights
    trials = {trial.model: trial.stage for trial in planned("res_generalization", "train.precision=bf16").trials}
    for path in WEIGHTS:
        recipe, stage = WeightsFile.at(str(path)).recipe, trials[path.stem]
        assert recipe is not None
        now = stage.recipe.model_dump(mode="json")
        assert {name: now[name] for name in recipe["train"]} == recipe["train"]
        assert recipe["data"]["revision"] == stage.revision
        assert recipe["model"] == stage.model.model_dump(mode="json")
