"""Attention: the definition for CPUs against torch's kernel, masks, and what an Encoding asks for."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rpe2d_bench.encodings import Encoding, Grid, rotate
from rpe2d_bench.models import attention
from rpe2d_bench.models.attention import (
    PackedProjection,
    RotationOfHalves,
    RotationOfPairs,
    attend,
    rotation_of,
)
from rpe2d_bench.models.pair_logits import lower_right_mask

HEADS, HEAD_WIDTH = 3, 16


def by_torch(qkv_BNE: Tensor, encoding: Encoding, mask_NN: Tensor | None) -> Tensor:
    """The same attention from torch's kernel and the interface's rotate."""
    q, k, v = (part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in qkv_BNE.chunk(3, dim=2))
    if encoding.angles_BHNF is not None:
        q, k = rotate(q, encoding.angles_BHNF), rotate(k, encoding.angles_BHNF)
    q = q * torch.as_tensor(encoding.logit_scale, dtype=q.dtype).view(-1, 1, 1, 1)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask_NN).transpose(1, 2).flatten(2)


def attended(qkv_BNE: Tensor, encoding: Encoding, mask_NN: Tensor | None = None) -> Tensor:
    """attend, with the channels of q and k in the order that the rotation asks PackedProjection for."""
    rotation = rotation_of(encoding, HEADS, HEAD_WIDTH, qkv_BNE)
    order = PackedProjection(HEADS * HEAD_WIDTH, HEADS)._paired(torch.arange(qkv_BNE.shape[2]))
    return attend(qkv_BNE[..., order] if rotation.side_by_side else qkv_BNE, HEADS, rotation, mask_NN)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("angles", ["none", "shared", "per head and sample"])
@pytest.mark.parametrize("scale", [1.0, 1.3, "per sample"])
def test_agrees_with_torch(masked: bool, angles: str, scale: float | str) -> None:
    rng = torch.Generator().manual_seed(0)
    grid, batch = Grid(3, 5), 4
    qkv = torch.randn(batch, 15, 3 * HEADS * HEAD_WIDTH, generator=rng, dtype=torch.float64)
    shape = {"none": None, "shared": (1, 1, 15, 8), "per head and sample": (batch, HEADS, 15, 8)}[angles]
    encoding = Encoding(
        angles_BHNF=None if shape is None else 3 * torch.randn(shape, generator=rng),
        logit_scale=0.5 + torch.rand(batch, generator=rng) if isinstance(scale, str) else scale,
    )
    mask = lower_right_mask(grid, qkv.device) if masked else None
    ours = attended(qkv, encoding, mask)
    torch.testing.assert_close(ours, by_torch(qkv, encoding, mask), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("angles", [None, (1, 1, 15, 8), (4, HEADS, 15, 8)], ids=["none", "shared", "learned"])
def test_pairs_and_halves_are_one_rotation(angles: tuple[int, ...] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results and gradients, of the angles too (some encodings learn theirs); halves serve GPUs, bf16, compilation."""
    rng = torch.Generator().manual_seed(0)
    qkv = torch.randn(4, 15, 3 * HEADS * HEAD_WIDTH, generator=rng, dtype=torch.float64, requires_grad=True)
    turned = [] if angles is None else [torch.randn(angles, generator=rng, requires_grad=True)]
    encoding = Encoding(angles_BHNF=turned[0] if turned else None, logit_scale=1.3)
    seen = []
    for compiling, kind in ((False, RotationOfPairs), (True, RotationOfHalves)):
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda compiling=compiling: compiling)
        assert isinstance(rotation_of(encoding, HEADS, HEAD_WIDTH, qkv), kind)
        out = attended(qkv, encoding)
        seen.append((out, *torch.autograd.grad(out.square().sum(), [qkv, *turned])))
    for pairs, halves in zip(*seen, strict=True):
        torch.testing.assert_close(pairs, halves, rtol=1e-5, atol=1e-5)


def test_pairs_are_turned_without_a_copy_of_each_part() -> None:
    qkv = torch.randn(2, 15, 3 * HEADS * HEAD_WIDTH)
    rotation = rotation_of(Encoding(angles_BHNF=torch.randn(1, 1, 15, 8)), HEADS, HEAD_WIDTH, qkv)
    parts = rotation.unpacked(qkv, HEADS)
    assert len({part.untyped_storage().data_ptr() for part in parts}) == 1
    assert all(part.stride()[2:] == (3 * HEADS * HEAD_WIDTH, 1) for part in parts)


@pytest.mark.parametrize("error", [RuntimeError, NotImplementedError, AttributeError])
def test_a_processor_or_build_without_onednn_is_no_error(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Tensor) -> Tensor:
        raise error("to_mkldnn")

    monkeypatch.setattr(Tensor, "to_mkldnn", refuse)
    assert attention._onednn_takes_bfloat16.__wrapped__() is False


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("way", ["for training", "at once", "in slices", "without oneDNN"])
def test_bfloat16_stays_within_its_rounding(masked: bool, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = torch.Generator().manual_seed(0)
    qkv = torch.randn(8, 64, 3 * HEADS * HEAD_WIDTH, generator=rng)
    encoding = Encoding(angles_BHNF=torch.randn(1, 1, 64, 8, generator=rng), logit_scale=1.2)
    mask = lower_right_mask(Grid(8, 8), qkv.device) if masked else None
    exact = attended(qkv, encoding, mask)
    rounded = qkv.bfloat16().requires_grad_(way == "for training")
    if way == "in slices":
        monkeypatch.setattr(attention, "IN_CACHE", 3 * HEADS * 64**2)  # 3, 3 and 2 images
    if way == "without oneDNN":
        monkeypatch.setattr(attention, "_onednn_takes_bfloat16", lambda: False)
    short = attend(rounded, HEADS, rotation_of(encoding, HEADS, HEAD_WIDTH, rounded), mask)
    assert short.dtype == torch.bfloat16
    # three products of numbers with eight bits: a few times 2**-8 of the typical size
    assert (short.float() - exact).square().mean().sqrt() < 0.02 * exact.square().mean().sqrt()


def test_slices_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images must not depend on how many of them are attended to together."""
    qkv = torch.randn(7, 36, 3 * HEADS * HEAD_WIDTH, generator=torch.Generator().manual_seed(0)).bfloat16()
    rotation = rotation_of(Encoding(), HEADS, HEAD_WIDTH, qkv)
    together = attend(qkv, HEADS, rotation)
    monkeypatch.setattr(attention, "IN_CACHE", 0)  # one by one
    assert torch.equal(attend(qkv, HEADS, rotation), together)


def test_the_mask_hides_what_lies_below_and_to_the_right() -> None:
    mask = lower_right_mask(Grid(2, 3), torch.device("cpu"))
    # tokens: 0 1 2 / 3 4 5
    assert mask[0].tolist() == [True, False, False, False, False, False]
    assert mask[1].tolist() == [True, True, False, True, False, False]
    assert mask[5].all()
    assert mask.diagonal().all()
