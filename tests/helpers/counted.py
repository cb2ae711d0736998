"""A velocity that counts how often a sampler asks for it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


class Counted:
    """Called like the velocity; `made` calls so far."""

    def __init__(self, velocity: Callable[[Tensor, float | Tensor], Tensor]) -> None:
        self._velocity, self.made = velocity, 0

    def __call__(self, x: Tensor, t: float | Tensor) -> Tensor:
        self.made += 1
        return self._velocity(x, t)
