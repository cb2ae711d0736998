"""One training stage in several processes (GPUs): the first makes it, the others compute with it."""

from __future__ import annotations

from pathlib import Path

from rpe2d_bench.stages.train import CURVE_EVERY, TrainStage
from rpe2d_bench.surroundings import Surroundings


def make_together(stage: TrainStage, around: Surroundings) -> None:
    """As `stage.make`, called in each process of torch.distributed's default group, around.ranks saying which.

    Only the first process writes. It can't reach a checkpoint before every other has read the last one, since each step
    needs them all.
    """
    ranks, device = around.ranks, around.resources.device
    if ranks.rank == 0:
        began: list[bool] = []

        def work(partial: Path) -> None:
            began.append(ranks.agree(True, device))
            stage.work(partial, around)

        around.store.make(stage.name, stage.key, work, around.say)
        if not began:  # somebody else finished it in the meantime
            ranks.agree(False, device)
    elif ranks.agree(False, device):
        from rpe2d_bench import data

        pictures = stage.pictures(data.build(stage.data), around)
        training, _ = stage.started(around.store.partial(stage.name, stage.key), around)
        for step in training.steps(pictures):
            # where the first process may write a checkpoint
            if step.step % CURVE_EVERY == 0 and step.step != stage.recipe.steps and ranks.agree(False, device):
                training.optimizers.gather()
