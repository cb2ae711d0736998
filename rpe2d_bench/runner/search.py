"""The search before a comparison, done: trials one after the other in this process, or Tune trials on Ray."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

from rpe2d_bench.config.experiment import Experiment
from rpe2d_bench.errors import UserError
from rpe2d_bench.search import Asked, Searching
from rpe2d_bench.stages.run_context import RunContext
from rpe2d_bench.storage.exchange import followed
from rpe2d_bench.storage.progress import ProgressFiles
from rpe2d_bench.storage.store import Store
from rpe2d_bench.storage.unwritable import Unwritable

TUNE = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours
    "TUNE_MAX_PENDING_TRIALS_PG": "64",  # one at a time by default: the second worker would start after the first
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


def search(
    experiment: Experiment,
    store: Store,
    *,
    engine: str = "ray",
    methods: Iterable[str] = (),
    on_record: Callable[[str], None] = lambda _: None,
    begun: Callable[[Searching], None] = lambda _: None,
) -> tuple[Experiment, dict[str, Any]]:
    """The experiment with the chosen values, and the table of how they were chosen.

    methods: those that are compared; all by default. begun: told of the search where there is work to do.
    A search that the store knows starts neither workers nor Ray.
    """
    searching = Searching(experiment, store, methods, on_record)
    first = searching.next()
    if first is not None:
        assert experiment.search is not None
        if engine == "local" and experiment.search.scheduler != "none":
            raise UserError(
                f"search.scheduler: {experiment.search.scheduler} needs Ray Tune; leave out --engine local, or write "
                "scheduler: none"
            )
        files = ProgressFiles(store)
        context = RunContext(store, experiment.resources, files.say, files)
        begun(searching)
        with followed(store, files.run):
            (_here if engine == "local" else _on_ray)(searching, first, context, files)
    return searching.experiment, searching.table()


def work(asked: Asked, context: RunContext, files: ProgressFiles) -> str | None:
    """Do the stages of a trial; what the values or the user are to blame for comes back as a sentence."""
    key = quote(f"{asked.entry[1]} trial {asked.number}", safe="")
    try:
        with files.working(key):
            for measure in asked.measures:
                measure.make(context)
    except Unwritable:  # not the values' fault
        raise
    except UserError as error:
        return str(error)
    finally:
        files.ended(key)
    return None


def _here(searching: Searching, first: Asked, context: RunContext, files: ProgressFiles) -> None:
    import torch

    from rpe2d_bench.models.cpu import keep_freed_memory

    torch.set_num_threads(context.resources.cpus_per_trial)
    keep_freed_memory()
    asked: Asked | None = first
    while asked is not None:
        searching.ended(asked, work(asked, context, files))
        asked = searching.next()


def _on_ray(searching: Searching, first: Asked, context: RunContext, files: ProgressFiles) -> None:
    """One Tune run: trials start as earlier ones make them possible and slots come free."""
    from rpe2d_bench.runner import engine_ray

    for name, value in TUNE.items():
        os.environ.setdefault(name, value)
    engine_ray.start(context, places=2)  # Tune keeps the place of an ended trial, so one slot would stand idle
    import ray
    from ray import tune

    from rpe2d_bench.runner.head import watched
    from rpe2d_bench.runner.retries import RETRIES
    from rpe2d_bench.runner.tune_hooks import AsAsked, EachEntry, Ended

    slots = context.resources.trials_in_parallel
    waiting: list[Asked] = [first]
    running: dict[int, Asked] = {}
    numbers = itertools.count()

    def ask() -> tuple[int, Asked] | None:
        if len(running) == slots:
            return None
        asked = waiting.pop() if waiting else searching.next()
        if asked is None:
            return None
        number = next(numbers)
        running[number] = asked
        return number, asked

    def ended(number: int, error: str | None, crashed: bool) -> None:
        searching.ended(running.pop(number), error, crashed=crashed)

    def trial(config: dict[str, Any]) -> None:
        engine_ray.pin_threads(context)
        asked = config["asked"]

        def progress(stage: str, key: str, done: int, total: int, facts: dict[str, Any]) -> None:
            files(stage, key, done, total, facts)
            if config["stoppable"] and key == asked.trains and "loss" in facts:
                tune.report({"failed": None, "step": done, "loss": facts["loss"]})

        error = work(asked, RunContext(context.store, context.resources, context.say, progress), files)
        tune.report({"failed": error, "finished": 1})

    assert searching.experiment.search is not None
    asha = searching.experiment.search.scheduler == "asha"
    resources = context.resources
    gpus = min(resources.gpus, 1.0) if resources.device == "cuda" else 0.0  # a trial trains in its own process
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    tuner = tune.Tuner(
        tune.with_resources(trial, {"cpu": resources.cpus_per_trial, "gpu": gpus}),
        tune_config=tune.TuneConfig(
            search_alg=AsAsked(ask, lambda: searching.finished, stoppable=asha),
            scheduler=EachEntry(searching.experiment) if asha else None,
            num_samples=-1,
            reuse_actors=not asha,  # a training that was stopped ends with its process
        ),
        run_config=tune.RunConfig(
            name="search",
            storage_path=str(context.store.root / "ray"),  # of the driver alone: trials report numbers, not files
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=RETRIES),
            callbacks=[Ended(ended)],
        ),
    )
    try:
        with watched(ray.get_runtime_context().gcs_address):
            tuner.fit()
    finally:
        ray.shutdown()
