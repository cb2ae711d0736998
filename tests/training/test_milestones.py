"""`train.milestones`: averaged weights of steps under way are kept, and taken out by `export` as the last ones are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.planned import planned
from safetensors.torch import load_file
from typer.testing import CliRunner

from rpe2d_bench.cli import app
from rpe2d_bench.errors import UserError
from rpe2d_bench.plan.expand import make_plan
from rpe2d_bench.resolve.load import load_experiment
from rpe2d_bench.stages.denoiser import starting_denoiser
from rpe2d_bench.stages.run_context import RunContext
from rpe2d_bench.storage.store import Store
from rpe2d_bench.training.loop import Training


def test_a_milestone_is_the_average_at_its_step_and_goes_on_as_a_checkpoint(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["train.steps=40", "train.milestones=[7, 40]"]
    stage = planned(tiny, *asked).trials[0].stage
    averages: dict[int, dict[str, torch.Tensor]] = {}
    steps = Training.steps

    def seen(training: Training, images: Any) -> Iterator[Any]:
        for step in steps(training, images):
            averages[step.step] = {name: value.clone() for name, value in training.ema.state_dict().items()}
            yield step

    monkeypatch.setattr(Training, "steps", seen)
    context = RunContext(Store(tmp_path / "runs"))
    folder = stage.make(context)
    assert sorted(path.name for path in folder.glob("weights*")) == [
        "weights-40.safetensors", "weights-7.safetensors", "weights.safetensors",
    ]  # fmt: skip
    model = planned(tiny, *asked).trials[0].model
    out = tmp_path / "early.safetensors"
    command = ["export", str(tiny), "--model", model, "--store", str(tmp_path / "runs"), "--out", str(out)]
    command += [part for override in asked for part in ("--set", override)]
    done = CliRunner().invoke(app, [*command, "--step", "7"])
    assert done.exit_code == 0, done.output
    for name, value in load_file(out).items():
        assert torch.equal(value, averages[7][name])
    refused = CliRunner().invoke(app, [*command, "--step", "8"])
    assert isinstance(refused.exception, UserError)
    assert "train.milestones: 7, 40" in str(refused.exception)
    again = load_experiment(tiny, [f"models.{model}.checkpoint={out}", f"models.{model}.train={{steps: 0}}"])
    early = next(trial.stage for trial in make_plan(again).trials if trial.model == model)
    taken = starting_denoiser(early, context).state_dict()
    assert all(torch.equal(value, averages[7][name]) for name, value in taken.items())


def test_a_step_that_never_comes_is_refused_and_files_without_milestones_keep_their_keys(tiny: Path) -> None:
    with pytest.raises(UserError, match="milestones: 41 is no step of a training of 40"):
        load_experiment(tiny, ["train.steps=40", "train.milestones=[41]"])
    keys = [planned(tiny, change).trials[0].stage.key
            for change in ("train.ema=0.999", "train.milestones=[]", "train.milestones=[1]")]  # fmt: skip
    assert keys[0] == keys[1] != keys[2]
