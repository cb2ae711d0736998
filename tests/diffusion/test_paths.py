"""Paths and what is learned on them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rpe2d_bench.diffusion import PATHS, draw_times, noised, path
from rpe2d_bench.errors import UserError


@pytest.mark.parametrize("name", PATHS)
def test_from_data_to_noise(name: str) -> None:
    ends = path(name)(torch.tensor([0.0, 1.0], dtype=torch.float64))
    left = 0.01 if name == "linear_betas" else 1e-7  # DDPM's last step leaves 0.6 % of the image
    torch.testing.assert_close(ends.alpha, torch.tensor([1.0, 0.0], dtype=torch.float64), atol=left, rtol=0)
    torch.testing.assert_close(ends.sigma, torch.tensor([0.0, 1.0], dtype=torch.float64), atol=left, rtol=0)


def test_linear_betas_are_the_levels_of_ddpm_at_its_steps() -> None:
    """The cumulative product of facebookresearch/DiT's betas, np.linspace(1e-4, 0.02, 1000)."""
    at = path("linear_betas")(torch.arange(1, 1001, dtype=torch.float64) / 1000)
    kept = torch.from_numpy(np.cumprod(1 - np.linspace(1e-4, 0.02, 1000)))
    torch.testing.assert_close(at.alpha**2, kept, rtol=1e-9, atol=0)
    torch.testing.assert_close(at.sigma**2, 1 - kept, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", PATHS)
@given(t=st.floats(0.01, 0.99))
@settings(max_examples=30)
def test_the_velocity_is_the_derivative_by_time(name: str, t: float) -> None:
    rng = torch.Generator().manual_seed(0)
    x, eps = (torch.randn(1, 2, 3, 3, generator=rng, dtype=torch.float64) for _ in range(2))
    gamma = name == "linear_betas"  # whose differences of large logarithms leave 5e-11: 1.4e-5 of 2,000 times at most
    h, within, at = 1e-5 if gamma else 1e-6, 4e-5 if gamma else 1e-6, torch.tensor([t], dtype=torch.float64)
    _, velocity = noised(path(name), x, eps, at)
    later, earlier = noised(path(name), x, eps, at + h)[0], noised(path(name), x, eps, at - h)[0]
    torch.testing.assert_close(velocity, (later - earlier) / (2 * h), rtol=within, atol=within)


def test_the_variance_is_preserved() -> None:
    at = path("vp")(torch.linspace(0, 1, 11, dtype=torch.float64))
    torch.testing.assert_close(at.alpha**2 + at.sigma**2, torch.ones(11, dtype=torch.float64))


def test_unknown_paths_are_named() -> None:
    with pytest.raises(UserError, match="linear"):
        path("linaer")


def test_times_are_the_sigmoid_of_a_normal() -> None:
    times = draw_times(20_000, torch.Generator().manual_seed(0), mean=0.5, std=1.5)
    assert times.min() > 0
    assert times.max() < 1
    logits = torch.logit(times.double())
    assert logits.mean().item() == pytest.approx(0.5, abs=4 * 1.5 / math.sqrt(20_000))
    assert logits.std().item() == pytest.approx(1.5, rel=0.03)
