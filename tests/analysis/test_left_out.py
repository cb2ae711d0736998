"""Intervals of metrics without resamples: never too narrow, and exact where the metric is a mean."""

from __future__ import annotations

import numpy as np
import pytest

from rpe2d_bench.analysis.left_out import GROUPS, pseudo_values
from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics import METRICS, Inputs
from rpe2d_bench.metrics.nets.features import Features


def inputs(ours: np.ndarray, theirs: np.ndarray, labels: np.ndarray | None = None) -> Inputs:
    sides = [Features(side.astype(np.float32), None, "net", "1", "") for side in (ours, theirs)]
    return Inputs(sides[0], sides[1], labels, None, None, 0)


def test_of_a_mean_it_is_the_error_of_the_mean() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(3.0, 2.0, (2000, 1))
    pseudo_G = pseudo_values(lambda seen: (float(seen.generated.features_ND.mean()), ""), inputs(x, x))
    assert pseudo_G.mean() == pytest.approx(x.mean(), abs=1e-6)
    assert pseudo_G.std(ddof=1) / np.sqrt(GROUPS) == pytest.approx(2.0 / np.sqrt(2000), rel=0.4)


def test_both_sides_count() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(0.0, 1.0, (400, 1)), rng.normal(0.0, 1.0, (400, 1))

    def spread(one: bool, other: bool) -> float:
        def apart(seen: Inputs) -> tuple[float, str]:
            return float(one * seen.generated.features_ND.mean() + other * seen.reference.features_ND.mean()), ""

        return float(pseudo_values(apart, inputs(x, y)).std())

    assert spread(True, True) > 1.1 * max(spread(True, False), spread(False, True)) > 0


@pytest.mark.parametrize("name", ["precision", "recall", "coverage"])
def test_nearest_neighbours_get_no_interval_that_is_too_narrow(name: str) -> None:
    metric, rng = METRICS[name], np.random.default_rng(2)
    assert metric.compute is not None
    values, errors = [], []
    for seed in range(12):
        seen = inputs(rng.normal(0.4, 1.0, (200, 8)), rng.normal(0.0, 1.0, (200, 8)))
        values.append(metric.compute(seen)[0])
        errors.append(pseudo_values(metric.compute, seen, seed).std(ddof=1) / np.sqrt(GROUPS))
    assert 0.8 < np.sqrt(np.mean(np.square(errors))) / np.std(values, ddof=1) < 3.0


def test_classes_are_dealt_evenly_and_few_images_refused() -> None:
    labels = np.repeat(np.arange(5), 20)
    left: list[np.ndarray] = []

    def count(seen: Inputs) -> tuple[float, str]:
        assert seen.labels is not None
        left.append(np.bincount(seen.labels))
        return 0.0, ""

    pseudo_values(count, inputs(np.zeros((100, 1)), np.zeros((100, 1)), labels))
    assert all((counts == 19).all() for counts in left[1:])
    with pytest.raises(UserError, match="19 images make no 20 groups"):
        pseudo_values(count, inputs(np.zeros((19, 1)), np.zeros((100, 1))))
