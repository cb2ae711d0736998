"""One training stage in several processes (GPUs): the first makes it, the others compute with it."""

from __future__ import annotations

from pathlib import Path

from rpe2d_bench.stages.run_context import RunContext
from rpe2d_bench.stages.train import CURVE_EVERY, TrainStage


def make_together(stage: TrainStage, context: RunContext) -> None:
    """As `stage.make`, called in each process of torch.distributed's default group, context.ranks saying which.

    Only the first process writes. It can't reach a checkpoint before every other has read the last one, since each step
    needs them all.
    """
    ranks, device = context.ranks, context.resources.device
    if ranks.rank == 0:
        began = False

        def work(partial: Path) -> None:
            nonlocal began
            began = ranks.agree(True, device)
            stage.work(partial, context)

        context.store.make(stage.name, stage.key, work, context.say)
        if not began:  # somebody else finished it in the meantime
            ranks.agree(False, device)
    elif ranks.agree(False, device):
        images = stage.images(stage.data.build(), context)
        training, _ = stage.started(context.store.partial(stage.name, stage.key), context)
        for step in training.steps(images):
            if step.step in stage.recipe.milestones:
                training.averaged_weights()
            # where the first process may write a checkpoint
            if step.step % CURVE_EVERY == 0 and step.step != stage.recipe.steps and ranks.agree(False, device):
                training.state_dict()
        training.gather()
