"""Where the numbers do not allow a ranking: no winner is named there, in page, terminal or comparison."""

from __future__ import annotations

import math

from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.vocabulary import size_label
from rpe2d_bench.resolution import Size

LEARNED = 0.5  # of the accuracy on real images: below it a model has not learned its train resolution
FLOOR = 0.5  # of the best method's distance, where the floor's interval is not known (observations are gone)


def refusals(results: Results) -> dict[tuple[Size, Size], str]:
    """(train, test resolution) -> why no method is called better there."""
    found: dict[tuple[Size, Size], str] = {}
    for train, tests in results.resolutions.items():
        unlearned = _reference_unlearned(results, train)
        if results.main_metric is not None and results.main_metric.has_floor:
            unlearned = unlearned or results.worse_than_noise.get(train)
        for test in tests:
            if why := unlearned or _floor_too_high(results, train, test):
                found[train, test] = why
    return found


def unlearned(results: Results, methods: list[str], train: Size) -> str | None:
    """Why the model behind these methods has not learned its train resolution, by the classifier; None if it has."""
    for metric in results.metrics:
        if metric.name != "accuracy":
            continue
        real = results.real.floor(train, train, metric)
        aim = real.mean if real else metric.factor
        seen = results.means(methods, train, train, metric).values()
        if seen and max(seen) < LEARNED * aim:
            return (
                f"at {size_label(train)} px, where it was trained, its samples are recognised in {max(seen):.1f} %,"
                f" real images in {aim:.1f} %"
            )
    return None


def _reference_unlearned(results: Results, train: Size) -> str | None:
    methods = [results.reference] if results.reference else list(results.methods)
    why = unlearned(results, methods, train)
    if why is None:
        return None
    who = results.reference or "the best of the models"
    return f"{who} has not learned: {why}; nothing here says which method is better"


def worse_than_noise(results: Results, train: Size) -> str | None:
    """Why samples say nothing: nearest to the train resolution none is as near to real images as noisy ones.

    By the main metric, or the first other distance that has this ruler; None where they are nearer or nothing is known.
    """
    nearest = min(results.resolutions[train], key=lambda test: abs(math.log(test[0] * test[1] / train[0] / train[1])))
    for metric in filter(None, (results.main_metric, *results.metrics)):
        noisy = results.real.ruler("noise", train, nearest, metric) if metric.better == "lower" else None
        means = results.means(results.methods, train, nearest, metric).values()
        if noisy is None or not means:
            continue
        if min(means) <= noisy.mean:
            return None
        return (
            f"no model here has learned to generate: at {size_label(nearest)} px the best method's {metric.label} is"
            f" {min(means):.3g}, that of real images with noise of 8 grey levels {noisy.mean:.3g}"
        )
    return None


def _floor_too_high(results: Results, train: Size, test: Size) -> str | None:
    metric = results.main_metric
    if metric is None or metric.better != "lower" or not metric.has_floor:
        return None
    floor = results.real.floor(train, test, metric)
    if (known := results.real.floor_interval(train, test, metric)) is not None and known.low is not None:
        if known.low <= 0.0 <= (known.high or 0.0):
            return None
        why = (
            "the reference does not show what they show" if known.mean > 0 else "some are in both, or they are too few"
        )
        return (
            f"at {size_label(test)} px real images score {known.mean:.3g} against other real images, 95 % interval"
            f" {known.low:.3g} to {known.high:.3g}, which excludes 0: {why}"
        )
    means = results.means(results.methods, train, test, metric).values()
    if floor is None or not means or floor.mean <= FLOOR * max(min(means), 0.0) or floor.mean <= 0:
        return None
    return (
        f"at {size_label(test)} px real images score {floor.mean:.3g} against other real images, the best method"
        f" {min(means):.3g}: the reference does not show what the other real images show, or too few are measured"
    )
