"""A plan warns where a processor would compute bfloat16 slowly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rpe2d_bench import loading
from rpe2d_bench.cost import slow_arithmetic

OLD = {"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": False}


@pytest.mark.parametrize(
    ("able", "overrides", "said"),
    [
        (OLD, ["train.precision=bf16"], "add --set train.precision=float32"),
        (
            OLD,
            ["models.rope.train={precision: bf16}", "evaluate.sampler.precision=bf16"],
            "add --set models.rope.train.precision=float32 --set evaluate.sampler.precision=float32",
        ),
        (OLD, [], None),
        (OLD, ["train.precision=bf16", "resources.device=cuda"], None),
        (OLD | {"amx_bf16": True}, ["train.precision=bf16"], None),
        (OLD | {"architecture": "aarch64"}, ["train.precision=bf16"], None),
    ],
)
def test_the_warning_says_what_to_write(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, able: dict[str, object], overrides: list[str], said: str | None
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    found = slow_arithmetic(loading.load(tiny, overrides))
    assert found is None if said is None else found is not None and found.endswith(said)
