"""Which jobs hold slots, which run beside them, which are kept for a wide training, and how long all of it takes."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from rpe2d_bench.plan.order import Job, Kind, Order, Part
from rpe2d_bench.plan.pace import faster
from rpe2d_bench.plan.wall import wall


def job(key: str, kind: Kind = "cell", slots: int = 1, *, group: int = 0, reads: Iterable[str] = ()) -> Job:
    """One second of its own work, after parts of a second each that others may need, too."""
    parts = (*(Part(part, "data/features", 1.0) for part in reads), Part(key, "compute", 1.0))
    return Job(key, key, kind, group, (), parts, slots)


def begun(order: Order) -> list[str]:
    """All that start now."""
    found = []
    while (each := order.next()) is not None:
        found.append(each.key)
    return found


def test_what_a_running_job_makes_is_not_waited_for_while_anything_else_can_be_done() -> None:
    jobs = [job("a", reads=["r"]), job("b", reads=["r"]), job("c", reads=["s"])]
    order = Order(jobs, slots=2)
    assert begun(order) == ["a", "c"]
    order.ended("a")
    assert begun(order) == ["b"]
    assert begun(Order(jobs[:2], slots=2)) == ["a", "b"]  # no slot stands idle
    assert begun(Order(jobs, slots=2, made=["r"])) == ["a", "b"]


def test_what_holds_no_slot_runs_beside_the_others_and_as_often() -> None:
    pools = [job(f"pool {number}", "pool", 0) for number in range(3)]
    trainings = [job(f"training {number}", "training") for number in range(3)]
    order = Order([*trainings, *pools], slots=2)
    assert begun(order) == ["pool 0", "pool 1", "training 0", "training 1"]
    order.ended("pool 0")
    assert begun(order) == ["pool 2"]
    order.ended("training 0")
    assert begun(order) == ["training 2"]
    later = [job("later", "pool", 0, group=1), *pools]
    assert begun(Order(later, slots=2)) == ["pool 0", "pool 1"]  # of the first seed


def test_a_training_of_several_slots_gets_them_kept_by_what_ends_soon() -> None:
    wide, cell = job("wide", "training", 2), job("cell")
    order = Order([wide, cell], running=[job("share", "share")], slots=2)
    assert begun(order) == []
    order.ended("share")
    assert begun(order) == ["wide"]
    assert begun(Order([wide, cell], running=[job("training", "training")], slots=2)) == ["cell"]  # that ends late
    assert begun(Order([cell, wide], slots=2)) == ["wide"]  # a cell first would leave it a slot too few


def test_a_training_of_more_slots_than_there_are_takes_all() -> None:
    order = Order([job("wide", "training", 4), job("cell")], slots=2)
    assert begun(order) == ["wide"]
    order.ended("wide")
    assert begun(order) == ["cell"]
    assert begun(order.copy()) == []
    assert order.copy().slots == 2


def test_what_is_not_to_be_done_is_forgotten_unless_it_runs() -> None:
    order = Order([job("a"), job("b", group=1)], slots=1)
    assert order.group_is_open(1)
    order.forget("b")
    assert not order.group_is_open(1)
    assert begun(order) == ["a"]
    order.forget("a")
    assert (order.waiting, list(order.running)) == ([], ["a"])
    order.ended("a")
    assert not order.open


@pytest.mark.parametrize(
    ("jobs", "slots", "seconds", "work"),
    [
        ([], 2, 0.0, 0.0),
        ([job("a"), job("b")], 1, 2.0, 2.0),
        ([job("a"), job("b")], 2, 1.0, 2.0),
        ([job("a", reads=["r"]), job("b", reads=["r"])], 2, 2.0, 3.0),  # r is computed once, and waited for
        ([job("a", reads=["r"]), job("b", reads=["r"])], 1, 3.0, 3.0),
        ([job("a"), job("pool", "pool", 0)], 1, 1.0, 1.0),  # what holds no slot is not the slots' work
        ([job("wide", "training", 2, reads=["r"])], 2, 2.0, 1.0 + faster(2)),  # a part that is not its own: one device
    ],
)
def test_jobs_on_slots_take(jobs: list[Job], slots: int, seconds: float, work: float) -> None:
    found = wall(jobs, slots)
    assert (found.seconds, found.work) == pytest.approx((seconds, work))
    assert found.busy == pytest.approx(work / (slots * seconds) if jobs else 1.0)
