"""A pass of the tests as on an ordinary processor: the wide instructions are off, and that is measured.

`make test-avx2` sets the variables that PyTorch, oneDNN and MKL read and calls pytest with --narrow. A variable that a
library no longer reads would go unnoticed, so the pass measures products first: without AVX-512 or AMX, those in
bfloat16 are emulated and fall to a small part of float32's rate (AMD Zen 5: 0.07; with everything on: 4.5).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

COLLAPSED = 0.25  # of float32's rate; processors with any bfloat16 unit, and AVX-512's emulation, lie above
SIDE, TRIES = 512, 5


@dataclass(frozen=True)
class Rates:
    """Matrix products on one thread in GFLOP/s."""

    float32: float
    bfloat16: float

    @property
    def ratio(self) -> float:
        return self.bfloat16 / self.float32

    def __str__(self) -> str:
        return f"float32 {self.float32:.3g} GFLOP/s, bfloat16 {self.bfloat16:.3g} GFLOP/s ({self.ratio:.2g} times)"


def measured() -> Rates:
    """The better of several tries each: a machine that is shared only ever looks slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return Rates(*(_rate(torch.randn(SIDE, SIDE).to(dtype)) for dtype in (torch.float32, torch.bfloat16)))
    finally:
        torch.set_num_threads(threads)


def _rate(matrix: Tensor) -> float:
    matrix @ matrix  # kernels are chosen and compiled
    seconds = []
    for _ in range(TRIES):
        began = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - began)
    return 2 * SIDE**3 / min(seconds) / 1e9


def refusal(rates: Rates) -> str | None:
    """Why a pass at these rates would prove nothing; None where it proves something."""
    if rates.ratio < COLLAPSED:
        return None
    return f"the wide instructions are on: {rates}; this pass would prove nothing"
