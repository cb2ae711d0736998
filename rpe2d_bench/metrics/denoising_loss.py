"""Denoising loss on real images at a test resolution: how well a model knows a grid before the sampler adds anything.

The mean squared error of the velocity over images and over times t = 0.05, 0.15, ... 0.95, without guidance, with the
encoding that a method realises on the grid. Pixels at other sizes are other images, so columns are not comparable;
methods in a column are, and see the same images, noise and times.
"""

from __future__ import annotations

from typing import Any

from rpe2d_bench.metrics.metric import Metric

IMAGES = 50
TIMES = tuple((step + 0.5) / 10 for step in range(10))


def details(by_time: dict[float, float], images: int) -> dict[str, Any]:
    """What a reader may ask about it."""
    return {
        "by_time": {f"{t:.2f}": round(loss, 6) for t, loss in by_time.items()},
        "seen": f"{images} real images, each at {len(by_time)} times",
    }


DENOISING_LOSS = Metric(
    name="denoising_loss",
    label="Denoising loss",
    better="lower",
    explanation="error of the velocity on noised real images of the test resolution, mean over times, before any"
    " sampling",
    citation="this package",
    view="model",
    compute=None,
)
