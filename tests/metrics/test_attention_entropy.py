"""Entropy of attention: closed forms, and the model looked into against attention worked out by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from rpe2d_bench.encodings.interface import Context, Encoding, Grid, PositionalEncoding
from rpe2d_bench.metrics.attention_entropy import AttentionEntropy, deviation, nearest, row_entropy
from rpe2d_bench.models import DiT
from rpe2d_bench.models.dit import DiTOptions
from rpe2d_bench.stages.probes import attention_entropy

TS = [0.75, 0.25]


class Scaled(PositionalEncoding):
    """No positions, only a factor on the logits."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, ctx: Context) -> Encoding:
        return Encoding(logit_scale=self.scale)


def dit(scan: str = "none") -> DiT:
    torch.manual_seed(0)
    made = DiT(DiTOptions(width=32, depth=2, heads=4, patch_size=2, scan=scan), channels=1, num_classes=3)  # type: ignore[arg-type]
    for name, parameter in made.named_parameters():
        if "modulation" in name or "qkv" in name:  # as initialised, gates are zero and logits small
            torch.nn.init.normal_(parameter, std=0.5)
    return made.eval()


def seen(model: DiT, scale: float, size: tuple[int, int] = (8, 8)) -> AttentionEntropy:
    x = torch.rand(3, 1, *size, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return attention_entropy.entropy(model, Scaled(scale), x, np.arange(3), TS, "linear", Grid(4, 4))


def test_rows_in_closed_form() -> None:
    assert row_entropy(torch.zeros(1, 2, 3, 7)).numpy() == pytest.approx(math.log(7))
    one = torch.full((1, 1, 1, 5), -math.inf)
    one[..., 2] = 3.0
    assert row_entropy(one).item() == 0.0
    p = torch.tensor([0.5, 0.25, 0.25, 0.0])
    assert row_entropy(p.log()).item() == pytest.approx(1.5 * math.log(2))


def test_uniform_attention_has_the_logarithm_of_the_tokens() -> None:
    for size, tokens in (((8, 8), 16), ((8, 16), 32)):
        found = seen(dit(), 0.0, size)
        assert found.tokens == tokens
        assert found.nats_LH == pytest.approx(math.log(tokens))
        assert found.relative == pytest.approx(1.0)


def test_a_larger_logit_scale_makes_attention_narrower() -> None:
    entropies = [seen(dit(), scale).nats for scale in (0.0, 0.5, 1.0, 2.0, 4.0)]
    assert all(wide > narrow + 0.01 for wide, narrow in pairwise(entropies))


def test_the_model_is_looked_into_as_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    model, kept = dit(), []
    model.blocks[0].qkv.register_forward_hook(lambda _, __, output: kept.append(output))  # type: ignore[union-attr]
    found = seen(model, 1.3)
    by_hand = []
    for qkv in kept:
        q, k, _ = (part.unflatten(-1, (4, 8)).transpose(1, 2) for part in qkv.chunk(3, dim=-1))
        p = (1.3 / math.sqrt(8) * q @ k.transpose(-2, -1)).softmax(-1)
        by_hand.append(-(p * p.log()).sum(-1).mean(dim=(0, 2)))
    assert found.nats_LH[0] == pytest.approx(torch.stack(by_hand).mean(0).numpy(), abs=1e-5)
    monkeypatch.setattr(attention_entropy, "ELEMENTS", 100)  # a row or two at a time
    assert seen(dit(), 1.3).nats_LH == pytest.approx(found.nats_LH, abs=1e-6)
    assert not any(block.qkv._forward_hooks for block in dit().blocks)


def test_rows_of_a_causal_block_see_what_they_may() -> None:
    grid = Grid(4, 4)
    found = seen(dit("alternate"), 0.0)
    visible = [16 - (4 - row) * (4 - column) + 1 for row in range(4) for column in range(4)]
    assert found.nats_LH[0] == pytest.approx(math.log(grid.tokens))
    assert found.nats_LH[1] == pytest.approx(np.log(visible).mean())


def test_the_deviation_is_zero_on_the_train_grid_and_named() -> None:
    one, two = seen(dit(), 1.0), seen(dit(), 1.0, (16, 16))
    assert deviation(one, one) == {"attention_entropy": 0.0, "attention_entropy_nats": 0.0}
    assert deviation(two, one)["attention_entropy_nats"] == pytest.approx(two.nats - one.nats)
    assert 0 < one.relative < 1
    assert AttentionEntropy(np.zeros((1, 1)), 1).relative == 0.0
    assert nearest([1.0, 0.5]) == [1.0, 0.5]
    assert nearest([i / 16 for i in range(16, 0, -1)]) == [0.75, 0.5, 0.25]
