"""A plan as people and scripts read it."""

from __future__ import annotations

import textwrap
from typing import Any

from rich.console import Console

from rpe2d_bench.cli.console import put_line
from rpe2d_bench.cli.plan_table import PlanTable
from rpe2d_bench.cli.view import duration
from rpe2d_bench.plan.cost import Cost, estimate, in_bytes, in_flops
from rpe2d_bench.plan.expand import Plan, size
from rpe2d_bench.plan.pace import faster
from rpe2d_bench.plan.precision_notes import notes, warnings
from rpe2d_bench.resolve.resolve import Resolved
from rpe2d_bench.resolve.trainings import unreached_rates
from rpe2d_bench.sampling.schedule import in_words, schedules
from rpe2d_bench.sampling.schedule import warnings as in_noise
from rpe2d_bench.search import Searching
from rpe2d_bench.search.known import cost_of_rest
from rpe2d_bench.stages.pipeline import PipelineStage
from rpe2d_bench.storage.folder import name_of
from rpe2d_bench.storage.store import Store


def as_dict(plan: Plan, store: Store, searching: Searching | None = None) -> dict[str, Any]:
    """Stages, what is cached, cost of the rest; of a search how far it is."""
    cost, realised = estimate(plan, store), schedules(plan.experiment)
    search = {}
    if searching:
        cost_of_search = vars(cost_of_rest(searching, store))
        search = {"search": {**searching.table(), "finished": searching.finished, "cost_of_the_rest": cost_of_search}}
    return search | {
        "run": plan.run,
        "store": name_of(store.root),
        "data": plan.data,
        "labels": plan.labels,
        "trainings": [
            {"label": trial.label, "key": trial.stage.key, "cached": store.has("train", trial.stage.key)}
            for trial in plan.trials
        ],
        "weights": plan.remarks(),
        "cells": [
            {
                "method": cell.method,
                "model": cell.model,
                "train_resolution": cell.train_resolution,
                "test_resolution": cell.test_resolution,
                "seed": cell.seed,
                "key": cell.measure.key,
                "stage": cell.measure.name,
                "cached": store.has(cell.measure.name, cell.measure.key),
                "coincides_with": cell.coincides_with,
            }
            for trial in plan.trials
            for cell in trial.cells
        ],
        "arithmetic": notes(plan.choices) + warnings(plan.choices),
        "samplers": [
            {"shift": schedule.shift, "times": schedule.starts, "early": schedule.early, "where": places}
            for schedule, places in realised.items()
        ],
        "warnings": unreached_rates(plan.resolved) + in_noise(realised),
        "resources": plan.experiment.resources.model_dump(mode="json"),
        "cost_of_the_rest": vars(cost),
    }


def show(
    plan: Plan,
    store: Store,
    console: Console | None = None,
    *,
    brief: bool = False,
    searching: Searching | None = None,
) -> None:
    """Print the plan; brief leaves out the table of trainings and cells. searching: as far as it is known."""
    console = console or Console()
    measures = plan.measures()
    cells = sum(len(trial.cells) for trial in plan.trials)
    cost = estimate(plan, store, say=console.print if console.is_terminal else lambda _: None)
    own = [trial.stage for trial in plan.trials if not isinstance(trial.stage, PipelineStage)]
    pipelines = len(plan.trials) - len(own)
    cached = sum(store.has("train", stage.key) for stage in own)
    ready = len(measures) - len(plan.missing_measures(store))

    def put(subject: str, text: str) -> None:
        put_line(console, f"  {subject:14}{text}")

    def put_wrapped(subject: str, text: str) -> None:
        put(subject, f"\n{'':16}".join(textwrap.wrap(text, max(20, console.width - 16))))

    put_line(console, f"{plan.experiment.name}  (run {plan.run}, store {name_of(store.root)})")
    if searching:
        _show_search(searching, store, console)
    put("data", plan.data)
    if plan.labels:
        put("labels", f"of generated images: {plan.labels}")
    as_they_are = f"{pipelines} of pipelines, which are used as they are" if pipelines else ""
    put("trainings", f"{len(own)}, {cached} cached" if own else as_they_are)
    if own and as_they_are:
        put("", f"and {as_they_are}")
    for model, sentence in plan.remarks().items():
        put_wrapped("weights", f"{model}: {sentence}")
    real = f"{len(plan.floors)} of real images"
    put("measurements", f"{len(measures)}, {ready} cached; {cells} cells (method, size, seed), {real}")
    for number, sentence in enumerate(notes(plan.choices)):
        put_wrapped("" if number else "arithmetic", sentence)
    realised = schedules(plan.experiment)
    for number, sentence in enumerate(in_words(realised)):
        put_wrapped("" if number else "sampler", sentence)
    if plan.gpus:
        put("GPUs", _gpus(plan))
    put("rest", _words(cost))
    for sentence in (
        *warnings(plan.choices),
        *unreached_rates(plan.resolved),
        *in_noise(realised),
        *coinciding(plan.resolved),
    ):
        put("note", sentence)
    if not brief:
        console.print()
        console.print(PlanTable(plan, store))


def coinciding(resolved: Resolved) -> list[str]:
    """A sentence for every method whose frequencies are those of a plainer rule at some test size."""
    from rpe2d_bench.encodings import Grid
    from rpe2d_bench.encodings.describe import degenerate

    sizes: dict[str, list[str]] = {}
    for name, method in resolved.methods.items():
        if method.entry.frequencies is None:
            continue
        model = resolved.models[method.entry.model]
        patch, downsampling = model.options.patch_size, resolved.downsampling
        for pair in resolved.experiment.resolutions:
            train_grid = Grid(*(model.entry.resolution or pair.train).tokens(patch, downsampling))
            for test in pair.test:
                grid = Grid(*test.tokens(patch, downsampling))
                for text in degenerate(method.encoding, grid, train_grid, head_width=model.options.head_width):
                    sizes.setdefault(f"{name}: {text}", []).append(size(test))
    return [f"{text}; at {', '.join(dict.fromkeys(where))}" for text, where in sizes.items()]


def _show_search(searching: Searching, store: Store, console: Console) -> None:
    ended, trials = searching.counts
    spaces = [entry for entry in searching.entries if entry.space]
    models = sum(entry.section == "models" for entry in spaces)
    sentence = f"  search        {trials} trials, {ended} known; {trials // max(1, len(spaces))} for each of "
    put_line(console, f"{sentence}{models} models and {len(spaces) - models} methods")
    if not searching.finished:
        cost = cost_of_rest(searching, store)
        flops = f"train {cost.train_flops / 1e12:.3g} TFLOP, sample {cost.sample_flops / 1e12:.3g} TFLOP"
        put_line(console, f"                about {duration(cost.seconds)}: {flops}")
        put_line(console, "  after it, with the values as they are written so far:")


def _gpus(plan: Plan) -> str:
    """What `gpus_per_trial: auto` came to, and why."""
    resources = plan.experiment.resources
    chosen, others = int(resources.gpus), dict(plan.gpus)
    trainings = "training" if resources.trials_in_parallel == 1 else "trainings"
    found = f"{chosen} a training, {resources.trials_in_parallel} {trainings} at a time: {duration(others.pop(chosen))}"
    return found + "".join(f", {duration(seconds)} with {count}" for count, seconds in others.items())


def _words(cost: Cost) -> str:
    if not cost.train_flops + cost.sample_flops + cost.denoise_flops:
        return "nothing to train or to sample"
    per, bound = "per worker" if cost.device == "cpu" else "per GPU", "at most " if cost.at_most else ""
    hours = f"{bound or 'about '}{duration(cost.seconds)}{_slots(cost)}"
    return (
        f"{hours}"
        f"\n                {in_bytes(cost.memory)} {per}, {in_bytes(cost.disk)} of disk"
        f"\n                train {in_flops(cost.train_flops)}"
        + (f", sample {bound}{in_flops(cost.sample_flops)}" if cost.sample_flops else "")
        + (f", denoise {in_flops(cost.denoise_flops)}" if cost.denoise_flops else "")
        + (f", autoencoder {in_flops(cost.coding_flops)}" if cost.coding_flops else "")
        + (f"\n                {_busy(cost)}" if cost.device != "cpu" or cost.coding_flops else "")
    )


def _slots(cost: Cost) -> str:
    """On how many at a time, and how well these are used: the last stages of a plan leave slots empty."""
    if cost.devices > 1:
        assumed = f"{cost.devices} of them train a model {faster(cost.devices):.3g} times as fast as one (assumed)"
        return f" on {cost.slots} slots, {cost.busy:.0%} busy;\n                {assumed}"
    return f" on {cost.slots} slots, {cost.busy:.0%} busy" if cost.slots > 1 else ""


def _busy(cost: Cost) -> str:
    """What decides whether a machine is large enough."""
    if cost.device == "cpu":
        return f"{cost.device_hours:.3g} core-hours"
    hours = f"{cost.device_hours:,.0f}" if cost.device_hours >= 100 else f"{cost.device_hours:.2g}"
    return f"{hours} GPU-hours at {cost.pace / 1e12:.0f} TFLOP/s"
