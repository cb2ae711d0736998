"""The filter: Keys' kernel, its integral, Pillow's resize."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from rpe2d_bench.data.resample import box_weights, keys_cubic, keys_cubic_integral, resample, window_weights


def test_the_kernel_is_keys_and_interpolates() -> None:
    u = torch.linspace(-3, 3, 601, dtype=torch.float64)
    v = u.abs()
    expected = torch.where(
        v < 1, 1.5 * v**3 - 2.5 * v**2 + 1, torch.where(v < 2, -0.5 * v**3 + 2.5 * v**2 - 4 * v + 2, 0.0)
    )
    assert torch.allclose(keys_cubic(u), expected, atol=1e-12)
    assert torch.allclose(keys_cubic(torch.arange(-2.0, 3.0)), torch.tensor([0.0, 0, 1, 0, 0]))


def test_the_integral_is_the_kernels() -> None:
    u = torch.linspace(-3, 3, 6001, dtype=torch.float64)
    sums = torch.cumulative_trapezoid(keys_cubic(u), u)
    expected = sums - sums[len(sums) // 2 - 1]
    assert torch.allclose(keys_cubic_integral(u)[1:], expected, atol=1e-6)
    assert torch.allclose(keys_cubic_integral(torch.tensor([-5.0, 5.0])), torch.tensor([-0.5, 0.5]))


@pytest.mark.parametrize(("inputs", "outputs"), [(48, 16), (16, 48), (31, 20), (20, 20)])
def test_whole_windows_match_pillow(inputs: int, outputs: int) -> None:
    image = np.random.default_rng(0).uniform(0, 255, (inputs, inputs)).astype(np.float32)
    weights = window_weights(torch.zeros(1), torch.tensor([float(inputs)]), inputs, outputs)
    ours = resample(torch.from_numpy(image)[None, None], weights, weights)[0, 0].numpy()
    theirs = np.asarray(Image.fromarray(image).resize((outputs, outputs), Image.Resampling.BICUBIC))
    assert np.abs(ours - theirs).max() < 1e-3


def test_rows_of_weights_sum_to_one() -> None:
    weights = window_weights(torch.tensor([3.0, 0.0]), torch.tensor([20.0, 32.0]), 32, 16)
    assert torch.allclose(weights.sum(-1), torch.ones(2, 16), atol=1e-6)
    centres = torch.linspace(-0.2, 0.2, 9)[None]
    boxes = box_weights(centres, 0.05, torch.tensor([-0.5]), torch.tensor([1 / 64]), 64)
    assert torch.allclose(boxes.sum(-1), torch.ones(1, 9), atol=1e-6)
    outside = box_weights(torch.tensor([[0.7]]), 0.05, torch.tensor([-0.5]), torch.tensor([1 / 64]), 64)
    assert outside.abs().max() < 1e-6


def test_a_image_per_window() -> None:
    """Batched windows are what each window gives alone."""
    images = torch.rand(3, 2, 24, 24, generator=torch.Generator().manual_seed(0))
    start, length = torch.tensor([0.0, 5.5, 2.25]), torch.tensor([24.0, 12.0, 17.0])
    rows = window_weights(start, length, 24, 8)
    together = resample(images, rows, rows)
    for b in range(3):
        alone = window_weights(start[b : b + 1], length[b : b + 1], 24, 8)
        assert torch.allclose(together[b : b + 1], resample(images[b : b + 1], alone, alone), atol=1e-5)
