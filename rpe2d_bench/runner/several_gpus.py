"""A training on several GPUs, through Ray Train: one process per GPU, started from inside its task."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from rpe2d_bench.config.experiment import Resources
from rpe2d_bench.errors import UserError
from rpe2d_bench.stages import TrainStage
from rpe2d_bench.stages.run_context import RunContext
from rpe2d_bench.training.distributed import Ranks

PATIENCE = 24 * 3600  # seconds for each other: one may make images that the machine of another has
QUIET = {"RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0", "RAY_TRAIN_V2_ENABLED": "1"}


def processes(resources: Resources) -> int:
    """Of one training; gpus_per_trial below 2 is a share of one GPU."""
    count = resources.gpus
    if count > 1 and count != int(count):
        raise UserError(f"resources.gpus_per_trial: {count:g} is neither a share of a GPU nor a whole number")
    return max(1, int(count))


def train_together(stage: TrainStage, run_context: RunContext) -> None:
    """Make a training stage by as many processes as gpus_per_trial says; raises UserError for what a process says."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    os.environ.update(QUIET)
    resources = run_context.resources
    cuda = resources.device == "cuda"
    each: dict[str, float] = {"CPU": float(resources.cpus_per_trial), **({"GPU": 1.0} if cuda else {})}
    trainer = TorchTrainer(
        _process,
        train_loop_config={"stage": stage, "context": run_context},
        scaling_config=ScalingConfig(num_workers=processes(resources), use_gpu=cuda, resources_per_worker=each),
        torch_config=TorchConfig(backend="nccl" if cuda else "gloo", timeout_s=PATIENCE),
        run_config=RunConfig(
            name=f"train-{stage.key[:8]}",
            storage_path=str(run_context.store.root / "ray"),
            failure_config=FailureConfig(max_failures=0),  # the training's task starts again, from the checkpoint
        ),
    )
    try:
        trainer.fit()
    except Exception as error:
        if text := _sentence(error):
            raise UserError(text) from None
        raise


def _process(config: dict[str, Any]) -> None:
    """Runs once per GPU."""
    import torch
    from ray.train import get_context
    from ray.train.torch import get_device

    from rpe2d_bench.models.cpu import keep_freed_memory
    from rpe2d_bench.stages.together import make_together

    stage, run_context = config["stage"], config["context"]
    context = get_context()
    if run_context.resources.device == "cuda":
        torch.cuda.set_device(get_device())  # "cuda" is then this process' own
    torch.set_num_threads(run_context.resources.cpus_per_trial)
    keep_freed_memory()
    ranks = Ranks(context.get_world_rank(), context.get_world_size(), run_context.resources.sharded)
    make_together(stage, dataclasses.replace(run_context, ranks=ranks))


def _sentence(error: BaseException) -> str | None:
    """The sentence of a UserError in one of the processes."""
    for failure in getattr(error, "worker_failures", {}).values():
        cause = getattr(failure, "cause", failure)
        if isinstance(cause, UserError):
            return str(cause)
        for line in str(failure).splitlines():
            if "UserError: " in line:
                return line.partition("UserError: ")[2]
    return None
