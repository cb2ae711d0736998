"""The stochastic sampler of willisma/SiT (Ma et al. 2024, arXiv 2401.08740): Euler-Maruyama on the reverse SDE.

With the diffusion w(t) = sigma(t), their form 'sigma', the SDE from noise to data has the drift -v + w score; the score
is -eps / sigma, so that w score is -eps and nothing is divided by sigma. Any w leaves the marginals of the path as
they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from torch import Tensor

from rpe2d_bench.diffusion.flow import Flow

LAST = 0.04  # of the way is left to the last step, which moves by the drift alone (their last step 'Mean')


def with_last_step(ts: list[float]) -> list[float]:
    """The same times squeezed above the last step, which is 0.04 of the way however many steps there are."""
    if len(ts) == 2:
        return ts
    last = LAST * ts[0]
    scale = (ts[0] - last) / (ts[0] - ts[-2])
    return [last + scale * (t - ts[-2]) for t in ts[:-1]] + [0.0]


def sde(flow: Flow, x: Tensor, ts: list[float]) -> Iterator[Tensor]:
    """SiT's stochastic sampler: one evaluation a step; fresh noise after every step but the last."""
    for t, t_next in pairwise(ts):
        here, step = flow.at(t), t - t_next
        velocity = flow(x, t)
        x = x - step * (velocity + here.noise(x, velocity))
        if t_next > 0:
            x = x + (2 * step * here.sigma) ** 0.5 * flow.fresh()
        yield x
