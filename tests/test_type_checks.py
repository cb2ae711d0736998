"""Annotations are checked in tests, and only there."""

from __future__ import annotations

import subprocess
import sys

import jaxtyping
import pytest
import torch
from helpers import type_checks

from rpe2d_bench.diffusion import draw_times, noised, path
from rpe2d_bench.encodings import Encoding, rotate
from rpe2d_bench.models.stem import DilatedConv


def test_a_wrong_shape_is_refused_where_it_enters() -> None:
    x = torch.zeros(2, 3, 4, 8)
    rotate(x, torch.zeros(1, 1, 4, 4))
    for angles in (torch.zeros(1, 1, 5, 4), torch.zeros(1, 4, 4)):  # another number of tokens; no axis of heads
        with pytest.raises(jaxtyping.TypeCheckError):
            rotate(x, angles)
    with pytest.raises(jaxtyping.TypeCheckError):
        Encoding(angles_BHNF=torch.zeros(4, 4))
    with pytest.raises(jaxtyping.TypeCheckError):
        noised(path("linear"), x, x, torch.zeros(3))  # three times for two images


def test_a_wrong_type_is_refused_and_an_int_is_a_float() -> None:
    rng = torch.Generator().manual_seed(0)
    assert draw_times(2, rng, mean=0).shape == (2,)
    with pytest.raises(jaxtyping.TypeCheckError):
        draw_times(2, rng, mean="0")  # type: ignore[arg-type]


def test_the_list_of_modules_is_whole() -> None:
    homes = {DilatedConv.__module__, Encoding.__module__, noised.__module__, "baselines.yarn"}
    assert homes <= set(type_checks.modules())


def test_a_user_pays_for_no_check() -> None:
    code = "import torch; from rpe2d_bench.diffusion import noised, path\n"
    code += "x = torch.zeros(2, 1, 4, 4); noised(path('linear'), x, x, torch.zeros(1))\n"
    code += "import sys; assert 'beartype' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
