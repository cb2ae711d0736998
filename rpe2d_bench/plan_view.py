"""A plan as people and scripts read it."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from rpe2d_bench.cost import Cost, estimate
from rpe2d_bench.plan import Plan, size
from rpe2d_bench.runner.display import duration
from rpe2d_bench.store import Store


def as_dict(plan: Plan, store: Store) -> dict[str, Any]:
    """Stages, what is cached, cost of the rest."""
    cost = estimate(plan, store)
    return {
        "run": plan.run,
        "store": str(store.root),
        "trainings": [
            {"label": trial.label, "key": trial.stage.key, "cached": store.has("train", trial.stage.key)}
            for trial in plan.trials
        ],
        "cells": [
            {
                "method": cell.method,
                "model": cell.model,
                "train_resolution": cell.train_resolution,
                "test_resolution": cell.test_resolution,
                "seed": cell.seed,
                "key": cell.measure.key,
                "cached": store.has("measure", cell.measure.key),
                "coincides_with": cell.coincides_with,
            }
            for trial in plan.trials
            for cell in trial.cells
        ],
        "cost_of_the_rest": vars(cost),
    }


def show(plan: Plan, store: Store, console: Console | None = None, *, brief: bool = False) -> None:
    """Print the plan; brief leaves out the table of trainings and cells."""
    console = console or Console()
    measures = plan.measures()
    cells = sum(len(trial.cells) for trial in plan.trials)
    models, cached = len(plan.trials), len(plan.trials) - len(plan.missing_trainings(store))
    ready = len(measures) - len(plan.missing_measures(store))
    console.print(f"{plan.experiment.name}  (run {plan.run}, store {store.root})", highlight=False, soft_wrap=True)
    console.print(f"  trainings     {models}, {cached} cached", highlight=False)
    console.print(
        f"  measurements  {len(measures)}, {ready} cached, for {cells} cells of methods x resolutions x seeds "
        f"and {len(plan.floors)} floors",
        highlight=False,
        soft_wrap=True,
    )
    console.print(f"  rest          {_words(estimate(plan, store))}", highlight=False, soft_wrap=True)
    if not brief:
        console.print(_table(plan, store))


def _words(cost: Cost) -> str:
    if not cost.train_flops + cost.sample_flops:
        return "nothing to train or to sample"
    return (
        f"train {cost.train_flops / 1e12:.3g} TFLOP, sample {cost.sample_flops / 1e12:.3g} TFLOP, "
        f"about {duration(cost.seconds)}, {cost.memory / 2**30:.2g} GiB per worker, {cost.disk / 2**20:.3g} MiB of disk"
    )


def _table(plan: Plan, store: Store) -> Table:
    table = Table("model", "trained", "method", *[size(r) for r in _resolutions(plan)])
    for trial in plan.trials:
        trained = "cached" if store.has("train", trial.stage.key) else "to do"
        methods = dict.fromkeys(cell.method for cell in trial.cells)
        for number, method in enumerate(methods):
            row = []
            for resolution in _resolutions(plan):
                found = [c for c in trial.cells if (c.method, c.test_resolution) == (method, resolution)]
                row.append(
                    "".join(_state(cell.measure.key, cell.coincides_with, method, store, methods) for cell in found)
                )
            table.add_row(trial.label if not number else "", trained if not number else "", method, *row)
    return table


def _state(key: str, same: tuple[str, ...], method: str, store: Store, order: dict[str, None]) -> str:
    names = list(order)
    first = min([method, *same], key=names.index)
    if first != method:
        return f"= {first}"
    return "cached" if store.has("measure", key) else "to do"


def _resolutions(plan: Plan) -> list[tuple[int, int]]:
    return list(dict.fromkeys(test for pair in plan.experiment.resolutions for test in pair.test))
