"""Sampling by compiled programs: the numbers of the model as it is, one program a grid, and never silently without."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import sampled_compiled
from helpers.sampled_compiled import BATCH, CASES, IMAGES, STEPS

from rpe2d_bench.config.experiment import Sampler

Rows = dict[str, list[dict[str, Any]]]
BATCHES = -(-IMAGES // BATCH)


def sampled(backend: str, limit: int, *names: str) -> Rows:
    """Of each case, a row for each size."""
    command = [sys.executable, str(Path(sampled_compiled.__file__)), backend, str(limit), *names]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {row["name"]: row["sizes"] for row in map(json.loads, shown.splitlines())}


@pytest.fixture(scope="module")
def traced() -> Rows:
    """All cases by the graphs that a compiler is given, without its time."""
    return sampled("aot_eager", 64)


needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")


@needs_compiler
@pytest.mark.parametrize("name", list(CASES))
def test_compiled_gives_the_numbers_of_the_model_as_it_is(name: str, traced: Rows) -> None:
    for row in traced[name]:
        assert row["images"] == IMAGES
        assert row["apart"] < (1e-2 if name == "bf16" else 1e-5)
        assert row["programs"] <= 1  # the smaller batch needs none of its own
        assert row["calls"] >= BATCHES * STEPS or name == "bias/relative_table"  # every evaluation is compiled code
    calls = [row["calls"] for row in traced[name]]
    assert name in ("heun", "dopri5", "bias/relative_table") or calls == [BATCHES * STEPS] * len(calls)


@needs_compiler
def test_models_of_one_size_share_their_programs(traced: Rows) -> None:
    """Rotations of other frequencies are other numbers in the same program, and so are logit scales."""
    assert sum(row["programs"] for row in traced["axial_rope"]) == len(sampled_compiled.SIZES)
    alike = [name for name in CASES if name.startswith(("frequencies/", "logit_scale/"))]
    assert alike
    assert [name for name in alike if sum(row["programs"] for row in traced[name])] == []


@needs_compiler
def test_past_torchs_limit_of_programs_everything_is_still_compiled() -> None:
    for row in sampled("aot_eager", 2, "axial_rope", "none", "axial_sincos")["axial_sincos"]:
        assert row["apart"] < 1e-5
        assert row["calls"] == BATCHES * STEPS


@needs_compiler
@pytest.mark.slow
def test_by_torchs_own_compiler() -> None:
    for name, rows in sampled("inductor", 64, "axial_rope", "bf16", "bias/alibi").items():
        for row in rows:
            assert row["apart"] < (2e-2 if name == "bf16" else 1e-5)
            assert row["calls"] == BATCHES * STEPS


def test_samples_of_before_keep_their_keys() -> None:
    assert "compile" not in Sampler().model_dump(mode="json")
    assert Sampler(compile=True).model_dump(mode="json")["compile"] is True
