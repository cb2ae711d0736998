"""One training stage in several processes (GPUs): the first makes it, the others compute with it."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path

import torch

from rpe2d_bench.stages.checkpoint import CHECKPOINT
from rpe2d_bench.stages.run_context import RunContext
from rpe2d_bench.stages.train import CURVE_EVERY, TrainStage

PIECE = 2**26  # bytes of a checkpoint that are handed on at a time


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
            _with_checkpoint(stage, context)
            stage.work(partial, context)

        context.store.make(stage.name, stage.key, work, context.say)
        if not began:  # somebody else finished it in the meantime
            ranks.agree(False, device)
    elif ranks.agree(False, device):
        folder = _with_checkpoint(stage, context)
        images = stage.images(stage.data.build(), context)
        training, _ = stage.started(folder, context)
        for step in training.steps(images):
            if step.step in stage.recipe.milestones:
                training.averaged_weights()
            # where the first process may write a checkpoint
            if step.step % CURVE_EVERY == 0 and step.step != stage.recipe.steps and ranks.agree(False, device):
                training.state_dict()
        training.gather()
        if folder != context.store.partial(stage.name, stage.key):
            shutil.rmtree(folder, ignore_errors=True)


def _with_checkpoint(stage: TrainStage, context: RunContext) -> Path:
    """The folder with the checkpoint that the first process goes on from, if there is one; all processes call this.

    Of a store elsewhere, machines that do not see the first one's folder get it from there: in the bucket may lie an
    older one, and all have to go on from the same.
    """
    store, ranks, device = context.store, context.ranks, context.resources.device
    folder = store.partial(stage.name, stage.key)
    if store.mirror is None:
        return folder
    gives = ranks.rank == 0
    size = (folder / CHECKPOINT).stat().st_size if gives and (folder / CHECKPOINT).exists() else 0
    gathered = [torch.zeros(2, dtype=torch.int64, device=device) for _ in range(ranks.world)]
    torch.distributed.all_gather(gathered, torch.tensor([size, int(store.mirror.holder, 16)], device=device))
    found = [each.tolist() for each in gathered]
    size, holders = found[0][0], [holder for _, holder in found]
    first = holders.index(holders[ranks.rank])  # of the processes that see this folder
    takes = first == ranks.rank > 0
    if first > 0:
        folder = store.partial(stage.name, f"{stage.key}.copy")
    if takes:
        shutil.rmtree(folder, ignore_errors=True)  # of an attempt before
        folder.mkdir(parents=True)
    path = folder / CHECKPOINT
    with (
        path.open("rb") if size and gives else nullcontext() as source,
        path.open("wb") if size and takes else nullcontext() as target,
    ):
        for start in range(0, size, PIECE):
            count = min(PIECE, size - start)
            content = bytearray(count) if source is None else bytearray(source.read(count))
            piece = torch.frombuffer(content, dtype=torch.uint8).to(device)
            torch.distributed.broadcast(piece, src=0)
            if target is not None:
                target.write(piece.cpu().numpy().tobytes())
    ranks.total(torch.zeros((), device=device)).item()  # nobody reads it before it is written
    return folder
