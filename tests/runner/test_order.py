"""The first seed is complete first, no slot stands idle, and nothing is done before what it needs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rpe2d_bench.plan.order import Job, Kind, Order, Part


def sweep(models: int, cells: int, seeds: int, *, train: float = 10.0, cell: float = 1.0) -> list[Job]:
    """As a plan has it: by seed, its trainings with their cells, and a floor per size."""
    jobs = []
    for seed in range(seeds):
        for model in range(models):
            key = f"train {model} {seed}"
            jobs.append(Job(key, key, "training", seed, (), (Part(key, "compute/train", train),)))
            for number in range(cells):
                name = f"cell {model} {number} {seed}"
                reference = Part(f"reference {number}", "data/features", 0.5)
                jobs.append(Job(name, name, "cell", seed, (key,), (reference, Part(name, "compute/sample", cell))))
        for number in range(cells):
            name = f"floor {number} {seed}"
            jobs.append(Job(name, name, "floor", seed, (), (Part(name, "data/features", 0.5),)))
    return jobs


def played(jobs: list[Job], slots: int, seconds: Callable[[Job], float]) -> tuple[dict[str, float], float]:
    """When each job ended, and for how long a slot was idle while anything waited."""
    order, now, idle = Order(jobs), 0.0, 0.0
    ends: dict[str, float] = {}
    running: list[tuple[float, Job]] = []
    while True:
        while len(running) < slots and (job := order.next()) is not None:
            assert ends.keys() >= set(job.after), f"{job.label} began before what it needs"
            running.append((now + seconds(job), job))
        if not running:
            return ends, idle
        running.sort(key=lambda entry: entry[0])
        end, job = running.pop(0)
        if order.waiting:
            idle += (slots - 1 - len(running)) * (end - now)
        now = end
        ends[job.key] = now
        order.ended(job.key)


def cost(job: Job) -> float:
    return sum(part.seconds for part in job.parts)


@pytest.mark.parametrize("slots", [1, 2, 3])
@pytest.mark.parametrize("models", [1, 2, 3, 5])
def test_a_seed_is_complete_before_the_next_takes_more_than_what_is_left_over(models: int, slots: int) -> None:
    jobs = sweep(models, 6, 3)
    ends, idle = played(jobs, slots, cost)
    assert len(ends) == len(jobs)
    complete = [max(ends[job.key] for job in jobs if job.group == seed) for seed in range(3)]
    assert complete == sorted(complete)
    work = sum(cost(job) for job in jobs if job.group == 0)
    chain = 10.0 + 6 * 1.5  # a model and its cells where one slot does them all
    assert complete[0] <= max(work / slots + 10.0, chain) + 1.5
    assert idle <= 10.0 * slots  # only where every ready job has been given out


def test_one_slot_measures_while_the_others_train() -> None:
    order = Order(sweep(4, 3, 1))
    first, second = order.next(), order.next()
    assert first is not None
    assert second is not None
    assert {first.kind, second.kind} == {"training"}
    order.ended(first.key)
    third = order.next()
    assert third is not None
    assert (third.kind, third.after) == ("cell", (first.key,))  # results come early
    order.ended(second.key)
    fourth = order.next()
    assert fourth is not None
    assert fourth.kind == "training"  # and the longest pieces do not end up last


def test_two_slots_do_not_wait_for_the_same_reference() -> None:
    order = Order([job for job in sweep(1, 3, 1) if job.kind == "cell"])
    jobs = [order.next(), order.next()]
    assert len({part.key for job in jobs if job for part in job.parts if part.key.startswith("reference")}) == 2


def test_a_chain_waits_and_a_failed_training_takes_along_what_follows_from_it() -> None:
    start = Job("start", "start", "training", 0)
    later = Job("later", "later", "training", 0, ("start",))
    cell = Job("cell", "cell", "cell", 0, ("later",))
    other = Job("other", "other", "floor", 0)
    order = Order([later, cell, start, other])
    assert order.next() is start
    assert order.next() is other
    assert order.next() is None
    order.ended("start")
    assert list(order.drop("start")) == [later, cell]
    assert order.group_is_open(0)
    order.ended("other")
    assert not order.group_is_open(0)


def linked() -> list[Job]:
    """Of two seeds: pools in shares, a training that starts from another, cells with shares, and what both read."""
    jobs: list[Job] = []

    def add(key: str, kind: Kind, seed: int, *after: str) -> str:
        if all(job.key != key for job in jobs):
            jobs.append(Job(key, key, kind, seed, after, (Part(key, f"data/{kind}", 1.0),)))
        return key

    for seed in range(2):
        large = add("large pool", "pool", 0, *(add(f"large {n}", "pool", 0) for n in range(2)))
        small = [add(f"small {n} {seed}", "pool", seed) for n in range(2)]  # put together by the training itself
        first = add(f"first {seed}", "training", seed, large)
        second = add(f"second {seed}", "training", seed, first, *small)
        seen = [add(f"real {n}", "share", 0) for n in range(2)]
        for model in (first, second):
            begun = add(f"begun {model}", "share", seed, model, add(f"begun {model} 0", "share", seed, model))
            parts = [add(f"{model} {n}", "share", seed, begun, model) for n in range(2)]
            add(f"cell {model}", "cell", seed, model, *seen, *parts)
        add(f"floor {seed}", "floor", seed, *seen)
    return jobs


@pytest.mark.parametrize("number", range(len(linked())))
@pytest.mark.parametrize("slots", [1, 3])
def test_after_any_failure_all_that_is_left_runs_to_the_end(number: int, slots: int) -> None:
    jobs = linked()
    broken, order = jobs[number].key, Order(jobs, slots=slots)
    well, dropped = set[str](), set[str]()
    while order.open:
        while (job := order.next()) is not None:
            assert well >= set(job.after), f"{job.key} began without what it needs"
        job = next(iter(order.running.values()))  # one has always begun: nothing waits for ever
        order.ended(job.key)
        if job.key == broken:
            dropped |= {each.key for each in order.drop(broken)}
        else:
            well.add(job.key)
    assert well | dropped | {broken} == {job.key for job in jobs}
    without = {broken}
    for job in jobs:  # what comes first stands first
        without |= {job.key} if without & set(job.after) else set()
    results = {job.key for job in jobs if job.kind not in ("pool", "share")}
    assert results - well == results & without  # nothing else is lost
    for key in dropped - without:
        assert not {job.key for job in jobs if key in job.after} & well, f"{key} was of use to others"
