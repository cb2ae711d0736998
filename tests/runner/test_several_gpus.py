"""A training in several processes through Ray Train: what one GPU does, two do; on a CPU over gloo."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.planned import planned
from safetensors.torch import load_file

from rpe2d_bench.config.experiment import Resources
from rpe2d_bench.errors import UserError
from rpe2d_bench.runner import run
from rpe2d_bench.runner.several_gpus import processes
from rpe2d_bench.storage.store import Store


def test_gpus_are_whole_or_a_share_of_one() -> None:
    assert [processes(Resources(gpus_per_trial=count)) for count in (0, 0.25, 1, 2, 8)] == [1, 1, 1, 2, 8]
    with pytest.raises(UserError, match=r"1\.5 is neither a share of a GPU nor a whole number"):
        processes(Resources(gpus_per_trial=1.5))


@pytest.mark.slow
def test_two_processes_through_ray_train_make_the_model_that_one_makes(tiny: Path, tmp_path: Path) -> None:
    several = "resources={gpus_per_trial: 2, trials_in_parallel: 1, sharded: true, checkpoint_every: 0.001}"
    overrides = (several, "train.steps=60", "train.milestones=[30]")
    plan = planned(tiny, *overrides, only=["rpe2d"])
    together, alone = Store(tmp_path / "together"), Store(tmp_path / "alone")
    assert {record.status for record in run(plan, together, engine="ray")} == {"ok"}
    plan.trials[0].stage.make(_context(alone, plan.experiment.resources))
    for file in ("weights.safetensors", "weights-30.safetensors"):
        folders = (store.folder("train", plan.trials[0].stage.key) for store in (together, alone))
        ours, theirs = (load_file(folder / file) for folder in folders)
        for name, value in ours.items():
            torch.testing.assert_close(value, theirs[name], atol=1e-4, rtol=0)


@pytest.mark.slow
def test_what_a_process_says_reaches_the_record(tiny: Path, tmp_path: Path) -> None:
    overrides = ("resources.gpus_per_trial=2", "resources.trials_in_parallel=1", "train.batch_size=1")
    plan = planned(tiny, *overrides, only=["rpe2d"])
    found = run(plan, Store(tmp_path / "runs"), engine="ray")
    trained = next(record for record in found if record.stage == "train")
    assert trained.status == "failed"
    assert "batch_size 1 is less than the 2 GPUs" in str(trained.error)


def _context(store: Store, resources: Resources):  # type: ignore[no-untyped-def]
    from rpe2d_bench.stages.run_context import RunContext

    return RunContext(store, resources)
