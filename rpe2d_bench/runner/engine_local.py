"""The stages one after the other in this process: for debugging, and for machines without Ray."""

from __future__ import annotations

import torch

from rpe2d_bench.errors import UserError
from rpe2d_bench.models.cpu import keep_freed_memory
from rpe2d_bench.runner.queue import Queue
from rpe2d_bench.storage.progress import ProgressFiles
from rpe2d_bench.storage.unwritable import Unwritable


def run(queue: Queue) -> None:
    """Finish the work; a part that fails is recorded as failed and the rest goes on."""
    context = queue.context
    torch.set_num_threads(context.resources.cpus_per_trial)
    keep_freed_memory()
    assert isinstance(context.progress, ProgressFiles)
    while (work := queue.next()) is not None:
        job, stage = work
        error = None
        try:
            with context.progress.working(job.key):
                stage.make(context)
        except Unwritable:  # nothing else could be kept, either
            raise
        except UserError as raised:
            error = str(raised)
        queue.ended(job, error)
        queue.record(job)
