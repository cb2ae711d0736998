"""DDPM's ancestral sampling on a respaced schedule (Ho et al. 2020, arXiv 2006.11239; Nichol and Dhariwal 2021,
arXiv 2102.09672), as facebookresearch/DiT samples.

A step from t to s < t draws from the posterior q(x_s | x_t, x_0) at the x_0 that the model implies. With
r = alpha_t / alpha_s and b = sigma_t^2 - r^2 sigma_s^2, the variance that going from s to t adds, its mean is
(r sigma_s^2 x_t + alpha_s b x_0) / sigma_t^2 and its variance b sigma_s^2 / sigma_t^2. On DDPM's path b is beta, and
this is their equation 7; it holds on every path. DiT learns a variance between the posterior's and b, in logarithms.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, pairwise, repeat

from torch import Tensor

from rpe2d_bench.diffusion.flow import Flow

STEPS = 1000  # of the schedule that is respaced; step k is at t = (k + 1) / 1000


def respaced(ts: list[float]) -> list[float]:
    """Times of as many of the 1,000 steps, evenly from the one at ts[0] down to the first, and 0 at the end.

    The stride is added up before rounding, as in Nichol and Dhariwal's code, so that ties fall alike.
    """
    count, last = len(ts) - 1, max(0, round(STEPS * ts[0]) - 1)
    if count == 1:
        return [(last + 1) / STEPS, 0.0]
    kept = [round(k) for k in accumulate(repeat(last / (count - 1), count - 1), initial=0.0)]
    return [(k + 1) / STEPS for k in reversed(kept)] + [0.0]


def ddpm(flow: Flow, x: Tensor, ts: list[float]) -> Iterator[Tensor]:
    """DDPM's ancestral sampling, noise of the posterior's variance: the lower end of what DiT learns."""
    yield from _ancestral(flow, x, ts, upper=False)


def ddpm_upper(flow: Flow, x: Tensor, ts: list[float]) -> Iterator[Tensor]:
    """DDPM's ancestral sampling, noise of the forward step's variance, beta: the upper end of what DiT learns."""
    yield from _ancestral(flow, x, ts, upper=True)


def _ancestral(flow: Flow, x: Tensor, ts: list[float], *, upper: bool) -> Iterator[Tensor]:
    for t, t_next in pairwise(ts):
        here, there = flow.at(t), flow.at(t_next)
        clean = here.clean(x, flow(x, t))
        ratio, before, now = here.alpha / there.alpha, there.sigma**2, here.sigma**2
        added = now - ratio**2 * before
        x = (ratio * before * x + there.alpha * added * clean) / now
        if t_next > 0:
            x = x + (added if upper else added * before / now) ** 0.5 * flow.fresh()
        yield x
