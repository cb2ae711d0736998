"""An experiment, run: plan, engine, live progress, records, MLflow.

Light to import: what runs a plan is imported when one is run, so that `rpe2d-bench status` answers at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rpe2d_bench.plan.expand import Plan
    from rpe2d_bench.runner.jobs import Watch
    from rpe2d_bench.stages.run_context import RunContext
    from rpe2d_bench.storage.records import Record
    from rpe2d_bench.storage.store import Store

Engine = Literal["ray", "local"]

__all__ = ["Engine", "run"]


def run(
    plan: Plan,
    store: Store,
    *,
    engine: Engine = "ray",
    written: dict[str, Any] | None = None,
    listeners: tuple[Callable[[Record], None], ...] = (),
    searched: dict[str, Any] | None = None,
    watch: Watch | None = None,
) -> list[Record]:
    """Finish what of a plan is missing in the store; returns the records of the run, also those of earlier attempts.

    searched: how values of the experiment were chosen, for the records (runner.search.search). watch: hears what
    begins and ends. A run of which nothing is missing starts neither workers nor Ray. Raises UserError where the plan
    was made without the images or without the autoencoder, or where Ray does not start.
    """
    from rpe2d_bench.plan.cost import pace_for
    from rpe2d_bench.plan.pace import seconds_of
    from rpe2d_bench.plan.work import work_of
    from rpe2d_bench.runner.jobs import Nobody
    from rpe2d_bench.runner.queue import Queue
    from rpe2d_bench.runner.recorder import Recorder
    from rpe2d_bench.stages.run_context import RunContext
    from rpe2d_bench.storage.exchange import followed
    from rpe2d_bench.storage.progress import ProgressFiles

    watch = watch or Nobody()
    for trial in plan.trials:
        trial.stage.check_inputs()
    files = ProgressFiles(store)
    context = RunContext(store, plan.experiment.resources, files.say, files)
    recorder = Recorder(plan, store, written or {}, plan.experiment.resources.device, searched, files.say)
    recorder.listeners.extend(listeners)
    watch.phase("checking what the store has")
    for trial in plan.trials:
        store.check("train", trial.stage.key, files.say)  # what is damaged goes, and is missing then
    for stage in plan.measures():
        store.check(stage.name, stage.key, files.say)
    pace = pace_for(plan, store)
    work = work_of(plan, store, lambda stage: seconds_of(stage, pace))
    here = engine == "local" or not work.jobs
    queue = Queue(plan, work, context, recorder, watch, 1 if here else work.slots)
    if here:
        from rpe2d_bench.runner.engine_local import run as finish
    else:
        from rpe2d_bench.runner.engine_ray import run as finish
    try:
        with followed(store, files.run):
            _mend(plan, context)
            finish(queue)
    finally:
        files.close()
    return recorder.records


def _mend(plan: Plan, context: RunContext) -> None:
    """Make damaged samples and observations of real images again, which nothing would read whose measurement is there.

    Reports look into them. What was deleted stays so: that saves room.
    """
    made = {s.key: s for measure in plan.measures() for s in measure.sources}
    for stage in made.values():
        if context.store.has(stage.name, stage.key) and not context.store.check(stage.name, stage.key, context.say):
            stage.make(context)
