"""How fast this machine computes an experiment's own shapes, in a second or two each.

Two questions: which arithmetic is the faster one (`compare_blocks`, one block's products and attention), and how long a
training step or a sampler's evaluation takes (`step_seconds`, `pass_seconds`, the real loop on noise). As in a run, as
many workers as slots compute at once, each with its own threads. Everything starts small and grows, since a call can't
be stopped and bfloat16 may be a hundred times as slow as expected.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from rpe2d_bench.config.experiment import Train
from rpe2d_bench.models.sizes import weights_of_blocks
from rpe2d_bench.plan.speed_work import Shape, Work, block_work, convolution_work, pass_work, step_work

SECONDS = 2.0  # at most, of a comparison and of a pace each
LONG_ENOUGH = 0.02  # seconds of a call that the clock and the scheduler disturb little
CLEAR = 3.0  # ratio from which a short call says enough
LARGEST = 40_000_000  # weights of a model that is built only to be timed; larger ones are scaled from a block
MOST_WORKERS = 8  # that compute at once while a pace is measured
Clock = Callable[[], float]


@dataclass(frozen=True)
class Comparison:
    """Seconds of one block on the same images in both arithmetics."""

    float32: float
    bf16: float
    rows: float  # images of the batch that were computed

    @property
    def ratio(self) -> float:
        """How many times as fast bfloat16 is."""
        return self.float32 / self.bf16


def present(device: str) -> bool:
    """Whether this machine has the device."""
    if device == "cuda":
        return torch.cuda.is_available()
    return device != "mps" or torch.backends.mps.is_available()


@functools.cache
def compare_convolutions(device: str, threads: int) -> Comparison:
    """3x3 convolutions of 64 channels on 64x64 cells, of which autoencoders are made, as in `compare_blocks`."""
    if device == "cuda" and not torch.cuda.is_bf16_supported():
        return Comparison(1.0, float("inf"), 0)

    with _threads(threads):
        return compare(lambda p, rows: convolution_work(p, rows, device), 16, SECONDS / 2, 1.0, _clock(device, threads))


@functools.cache
def compare_blocks(shape: Shape, device: str, threads: int) -> Comparison:
    """One block in float32 and in bfloat16, in turn, on a growing part of the batch until the ratio is clear."""
    if device == "cuda" and not torch.cuda.is_bf16_supported():
        return Comparison(1.0, float("inf"), 0)
    with _threads(threads):
        first = min(1.0, 16 / shape.tokens)
        clock = _clock(device, threads)
        return compare(lambda p, rows: block_work(shape, p, rows, device), shape.batch, SECONDS, first, clock)


def compare(
    make: Callable[[str, float], Work],
    batch: int,
    limit: float,
    first: float = 1.0,
    clock: Clock = time.perf_counter,
) -> Comparison:
    """Time `make(precision, rows)` in both precisions, from `first` rows on; pure but for the clocks."""
    began = time.perf_counter()
    rows = first
    while True:
        works = [make("float32", rows), make("bf16", rows)]
        best = [float("inf"), float("inf")]
        for repeat in range(6):
            for number, work in enumerate(works):
                seconds = _timed(work, clock)
                # the first call makes what later ones reuse; a long one counts as it is
                if repeat or seconds > 0.2 * limit:
                    best[number] = min(best[number], seconds)
            if time.perf_counter() - began > limit / 2 or (repeat and max(best) > limit / 8):
                break
        best = [min(b, _timed(work, clock)) if b == float("inf") else b for b, work in zip(best, works, strict=True)]
        slow = max(best)
        clear = slow > LONG_ENOUGH and not 1 / CLEAR < best[0] / best[1] < CLEAR
        left = limit - (time.perf_counter() - began)
        larger = min(float(batch), 4 * rows if rows >= 1 else min(1.0, 8 * rows))
        if rows == batch or clear or min(best) > LONG_ENOUGH * 2 or 8 * slow * larger / rows > left:
            return Comparison(best[0], best[1], rows)
        rows = larger


def step_seconds(
    shape: Shape, recipe: Train, block: float, device: str, threads: int, workers: int, limit: float = SECONDS
) -> float:
    """Seconds of a training step of the whole batch, optimizer and average included.

    block: seconds of a block on one image in the recipe's precision, which say how much of the batch is affordable.
    """
    depth, weights = shape.options.depth, weights_of_blocks(shape.options)
    if weights > LARGEST:
        # Blocks, and passes over weights, moments and average (40 bytes a weight) at 10 GB/s, on a GPU 1 TB/s
        return 1.1 * depth * block * shape.batch + 40 * weights / (1e10 if device == "cpu" else 1e12)
    share = limit / 4 / max(1e-9, 1.4 * depth * block)
    rows = max(1, min(shape.batch, round(share)))
    with torch.random.fork_rng(devices=[]), _threads(threads):
        torch.manual_seed(0)
        workings = [step_work(shape, recipe, rows, device) for _ in range(_at_once(workers, device))]
        seconds = _together(workings, limit, _clock(device, threads))
        return seconds * _crowded(workers, device, threads) * shape.batch / rows


def pass_seconds(
    shape: Shape, precision: str, device: str, threads: int, workers: int, limit: float = SECONDS / 4
) -> float:
    """Seconds of one evaluation of the model for one image, without a gradient; shape.batch of them together."""
    rows, clock, began = 1, _clock(device, threads), time.perf_counter()
    with torch.random.fork_rng(devices=[]), _threads(threads):
        torch.manual_seed(0)
        if weights_of_blocks(shape.options) > LARGEST:
            work = block_work(shape, precision, 1, device)
            work()
            return 1.05 * shape.options.depth * _timed(work, clock)
        while True:
            works = [pass_work(shape, precision, rows, device) for _ in range(_at_once(workers, device))]
            seconds = _together(works, limit / 4, clock)
            larger = min(shape.batch, 4 * rows)
            late = time.perf_counter() - began > 8 * limit  # on a busy machine
            if rows == shape.batch or late or 2 * seconds * larger / rows > limit:
                return seconds * _crowded(workers, device, threads) / rows
            rows = larger


def seconds_of_call(work: Callable[[int], object], most: int, threads: int, limit: float = 0.3) -> float:
    """Seconds per item of `work(items)`, on a growing number of items; it warms up on the first four."""
    items, clock, spent = 1, _clock("cpu", threads), 0.0
    with _threads(threads):
        work(min(4, most))
        while True:
            started = clock()
            work(items)
            seconds = clock() - started
            spent += seconds
            if items == most or spent + 4 * seconds > limit:
                return seconds / items
            items = min(most, 4 * items)


def python_seconds() -> float:
    """Processor time of a fixed piece of plain Python, which imports and reports are made of."""

    def work() -> None:
        seen: dict[int, str] = {}
        for number in range(200_000):
            seen[number % 1009] = str(number)

    return min(_timed(work, time.thread_time) for _ in range(5))


def _at_once(workers: int, device: str) -> int:
    return max(1, min(workers, MOST_WORKERS, os.cpu_count() or 1)) if device == "cpu" else 1


def _together(workings: list[Work], limit: float, clock: Clock) -> float:
    """Seconds of a call of the first while the others call theirs without a pause; the median of some."""
    stop = threading.Event()

    def busy(work: Work) -> None:
        while not stop.is_set():
            work()

    others = [threading.Thread(target=busy, args=(work,), daemon=True) for work in workings[1:]]
    for other in others:
        other.start()
    try:
        began = time.perf_counter()
        first = _timed(workings[0], clock)  # makes what later ones reuse
        times: list[float] = []
        while len(times) < 12 and (not times or time.perf_counter() - began + times[-1] < limit):
            if not times and first > SECONDS / 2:  # too long for another; else the first only makes what others reuse
                times = [first]
                break
            times.append(_timed(workings[0], clock))
        return sorted(times)[len(times) // 2]
    finally:
        stop.set()
        for other in others:
            other.join()


def _timed(work: Work, clock: Clock) -> float:
    started = clock()
    work()
    return clock() - started


def _clock(device: str, threads: int) -> Clock:
    """A worker of one thread by its processor time: whatever else runs on the machine just now doesn't count."""
    return time.thread_time if device == "cpu" and threads == 1 else time.perf_counter


def _crowded(workers: int, device: str, threads: int) -> float:
    """How much longer processor time takes where workers outnumber the cores."""
    alone = _clock(device, threads) is time.perf_counter
    return 1.0 if alone else max(1.0, workers * threads / (os.cpu_count() or 1))


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """As many threads as a worker has, while something is measured."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
