"""Denoising error on held-out real images at a test resolution, by noise level: what a model knows of a grid before a
sampler adds anything.

The mean squared error of the clean image that the model's answer implies, in the model's space ([-1, 1] for pixels),
over images and over the times t = 0.05, 0.15, ... 0.95, without guidance and with the encoding that a method realises
on the grid. Whatever a model predicts, velocity, noise or image, implies one clean image (diffusion.clean_image), so
that models of different objectives are comparable. Methods and seeds see the same images, classes and noise. Images
of another size are other images: compare methods within a size, not sizes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rpe2d_bench.metrics.metric import Metric

IMAGES = 100
TIMES = tuple((step + 0.5) / 10 for step in range(10))


def denoising_error(errors_NT: np.ndarray) -> tuple[float, dict[str, Any]]:
    """The value of the squared errors of N images at the `TIMES`, and what a reader may ask about it."""
    of_image_N = errors_NT.mean(axis=1)
    count = len(of_image_N)
    spread = float(of_image_N.std(ddof=1)) / count**0.5 if count > 1 else 0.0
    details = {
        "by_time": {f"{t:.2f}": float(error) for t, error in zip(TIMES, errors_NT.mean(axis=0), strict=True)},
        "standard_error": spread,  # over images, which all methods share: differences are known better than this
        "seen": f"{count} held-out real images, each at {len(TIMES)} times",
    }
    return float(of_image_N.mean()), details


DENOISING_ERROR = Metric(
    name="denoising_error",
    label="Denoising error",
    better="lower",
    explanation="mean squared error of the clean image that the model implies on noised held-out real images of the"
    " test resolution, mean over noise levels; nothing is sampled",
    citation="this package",
    view="denoising",
    compute=None,
    factor=1000.0,
)
