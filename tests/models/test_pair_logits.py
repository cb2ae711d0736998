"""Biases in attention: the mask, the kernel that evaluates pairs (tried without its compiler), and which is taken."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.attention import flex_attention as flex

from rpe2d_bench.encodings import LOGIT_BIASES, Context, Encoding, Grid, build
from rpe2d_bench.models import DiT, pair_logits, preset
from rpe2d_bench.models.pair_logits import BiasedPairs, by_layer, lower_right_mask
from rpe2d_bench.stages.probes.attention_entropy import row_entropies

ELEMENTWISE = ("alibi", "lookhere", "relative_buckets", "scale_invariant")
GRID, HEADS, BATCH = Grid(3, 5), 3, 4
RANDOM = {"kind": "random", "max_grid": [9, 9]}


def realised(name: str, random: bool = False) -> Encoding:
    torch.manual_seed(0)
    options = getattr(LOGIT_BIASES[name], "example", {})
    spec = {
        "kind": "axial_rope",
        "bias": {"kind": name, **options},
        "positions": RANDOM if random else {"kind": "grid"},
    }
    encoding = build(spec, width=16 * HEADS, heads=HEADS)
    return encoding(Context(GRID, GRID, rng=torch.Generator().manual_seed(0) if random else None, batch=BATCH))


def plain(encoding: Encoding, q: Tensor, k: Tensor, v: Tensor, weight: float, mask: Tensor | None) -> Tensor:
    """The definition, with nothing shared."""
    added, factor = encoding.bias.dense()
    logits = q @ k.mT * (1 if factor is None else factor) + weight * added
    return (logits if mask is None else logits.masked_fill(~mask, -torch.inf)).softmax(dim=-1) @ v


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("random", [False, True])
@pytest.mark.parametrize("name", [*ELEMENTWISE, "relative_table"])
def test_both_kernels_are_the_definition(
    name: str, random: bool, masked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_logits, "_flex", lambda: flex.flex_attention)
    monkeypatch.setattr(flex, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)  # its reference, which needs no compiler
    encoding = realised(name, random)
    mask = lower_right_mask(GRID, torch.device("cpu")) if masked else None
    q, k, v = torch.randn(3, BATCH, HEADS, GRID.tokens, 16)
    for in_kernel in (False, True) if encoding.bias.pair.elementwise else (False,):
        monkeypatch.setattr(pair_logits, "kernel_takes", lambda bias, like, answer=in_kernel: answer)
        layers = by_layer(encoding, 4, mask, q)
        for layer, pairs in enumerate(layers):
            assert isinstance(pairs, BiasedPairs)
            assert (pairs.laid is None) == in_kernel
            first, last = encoding.bias.pair.layers
            expected = plain(encoding, q, k, v, first + (last - first) * layer / 3, mask if layer % 2 else None)
            torch.testing.assert_close(pairs.weighted(q, k, v), expected, rtol=1e-4, atol=1e-5)


def test_the_kernel_is_taken_where_nothing_else_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    alibi, table = realised("alibi", random=True).bias, realised("relative_table").bias
    cuda, cpu = torch.empty(0, device="meta"), torch.empty(0)
    monkeypatch.setattr(pair_logits, "DEVICES", ("meta",))
    monkeypatch.setattr(pair_logits, "flex_compiles", lambda device: True)
    laid = BATCH * HEADS * GRID.tokens**2 * 4
    monkeypatch.setattr(pair_logits, "ROOM", laid)
    assert not pair_logits.kernel_takes(alibi, cuda)
    monkeypatch.setattr(pair_logits, "ROOM", laid - 1)
    assert pair_logits.kernel_takes(alibi, cuda)
    assert not pair_logits.kernel_takes(alibi, cuda.half())
    assert not pair_logits.kernel_takes(alibi, cpu)
    monkeypatch.setattr(pair_logits, "ROOM", 0)
    assert not pair_logits.kernel_takes(table, cuda)  # a net is no score of a pair
    monkeypatch.setattr(pair_logits, "flex_compiles", lambda device: False)
    assert not pair_logits.kernel_takes(alibi, cuda)


def test_whether_it_compiles_is_tried_once_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def kernel(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("no compiler")

    monkeypatch.setattr(pair_logits, "_flex", lambda: kernel)
    pair_logits.flex_compiles.cache_clear()
    try:
        with pytest.warns(UserWarning, match=r"FlexAttention does not compile here \(RuntimeError\)"):
            assert not pair_logits.flex_compiles("cpu")
        assert not pair_logits.flex_compiles("cpu")
        monkeypatch.setattr(pair_logits, "_flex", lambda: flex.flex_attention)
        monkeypatch.setattr(flex, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)
        pair_logits.flex_compiles.cache_clear()
        assert pair_logits.flex_compiles("cpu")
    finally:
        pair_logits.flex_compiles.cache_clear()


@pytest.mark.parametrize("tries", [1, 2])
def test_where_no_kernel_fits_the_gpu_a_smaller_one_is_tried_then_the_bias_is_laid_out(
    tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen on an H200 in bfloat16: 240 KiB of shared memory asked for where there were 227."""
    asked: list[Any] = []

    def kernel(*args: Any, **kwargs: Any) -> torch.Tensor:
        asked.append(kwargs.pop("kernel_options"))
        if len(asked) <= tries:
            raise RuntimeError("No valid triton configs. OutOfMemoryError: out of resource")
        return flex.flex_attention(*args, **kwargs)

    monkeypatch.setattr(pair_logits, "_flex", lambda: kernel)
    monkeypatch.setattr(pair_logits, "kernel_takes", lambda bias, like: True)
    monkeypatch.setattr(flex, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)
    encoding = realised("alibi", random=True)
    q, k, v = (torch.randn(BATCH, HEADS, GRID.tokens, 8) for _ in range(3))
    (pairs,) = by_layer(encoding, 1, None, q)
    assert isinstance(pairs, BiasedPairs)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        found = pairs.weighted(q, k, v)
    torch.testing.assert_close(found, plain(encoding, q, k, v, pairs.weight, None), rtol=1e-4, atol=1e-5)
    assert asked == [None, pair_logits.SMALL_BLOCKS]
    assert any("it is laid out" in str(one.message) for one in warned) == (tries == 2)


def test_another_failure_of_the_kernel_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def kernel(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(pair_logits, "_flex", lambda: kernel)
    monkeypatch.setattr(pair_logits, "kernel_takes", lambda bias, like: True)
    q = torch.randn(BATCH, HEADS, GRID.tokens, 8)
    (pairs,) = by_layer(realised("alibi", random=True), 1, None, q)
    assert isinstance(pairs, BiasedPairs)
    with pytest.raises(RuntimeError, match="shapes differ"):
        pairs.weighted(q, q, q)


COMPILED = """
import torch
from torch._dynamo.utils import counters
from rpe2d_bench.encodings import Context, Grid, build
from rpe2d_bench.models import pair_logits

if not pair_logits.flex_compiles("cpu"):
    print("does not compile")
    raise SystemExit
pair_logits.kernel_takes = lambda bias, like: True
grid, programs = Grid(8, 8), []
for positions in ({"kind": "grid"}, {"kind": "random", "max_grid": [32, 32]}):
    encoding = build({"kind": "axial_rope", "bias": {"kind": "alibi"}, "positions": positions}, width=48, heads=3)
    realised = encoding(Context(grid, grid, rng=torch.Generator().manual_seed(0), batch=4))
    q, k, v = torch.randn(3, 4, 3, grid.tokens, 16)
    with torch.no_grad():
        inside, laid = (
            pair_logits.by_layer(realised, 2, None, q, in_kernel=way)[1].weighted(q, k, v) for way in (True, False)
        )
    torch.testing.assert_close(inside, laid, rtol=1e-4, atol=1e-5)
    programs.append(counters["stats"]["unique_graphs"])
print("programs", *programs)
"""


@pytest.mark.slow
def test_compiled_it_is_one_program_for_shared_and_drawn_positions() -> None:
    """In a process of its own: what checks shapes in these tests is no code for a compiler."""
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, check=True)
    if "does not compile" in done.stdout:
        pytest.skip("FlexAttention does not compile here")
    shared, drawn = done.stdout.split()[-2:]
    assert shared == drawn


def test_the_probe_asks_for_what_is_laid_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_logits, "kernel_takes", lambda bias, like: True)
    assert all(
        pairs.laid is not None for pairs in by_layer(realised("alibi"), 2, None, torch.zeros(1), in_kernel=False)
    )


def test_a_steep_slope_leaves_every_token_to_itself() -> None:
    """The whole model sees the bias: with a slope that hides all others, tokens do not mix."""
    torch.manual_seed(0)
    dit = DiT(preset("DiT-Nano/4"), channels=1, num_classes=3).eval()
    for parameter in dit.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    x, other = torch.randn(1, 1, 16, 16), torch.randn(1, 1, 16, 16)
    other[..., :4, :4] = x[..., :4, :4]  # only the first patch agrees
    for steep, mixes in ((0.0, True), (1e6, False)):
        encoding = build({"kind": "distance"}, width=64, heads=2)
        encoding.bias.slope_H.fill_(steep)
        now = encoding(Context(Grid(4, 4), Grid(4, 4)))
        with torch.no_grad():
            a, b = (dit(image, torch.tensor([0.5]), torch.tensor([0]), now)[..., :4, :4] for image in (x, other))
        assert torch.allclose(a, b, atol=1e-6) != mixes


@pytest.mark.parametrize("name", ["relative_table", "relative_buckets"])
def test_gradients_reach_what_a_bias_learns(name: str) -> None:
    torch.manual_seed(0)
    dit = DiT(preset("DiT-Nano/4"), channels=1, num_classes=3)
    for parameter in dit.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    bias = {"kind": name, **getattr(LOGIT_BIASES[name], "example", {})}
    encoding = build({"kind": "distance", "bias": bias}, width=64, heads=2)
    out = dit(torch.randn(2, 1, 16, 16), torch.rand(2), torch.tensor([0, 1]), encoding(Context(Grid(4, 4), Grid(8, 8))))
    out.square().mean().backward()
    assert all(bool((parameter.grad != 0).any()) for parameter in encoding.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_entropies_follow_the_bias(dtype: torch.dtype) -> None:
    from rpe2d_bench.models.attention import rotation_of

    encoding = realised("alibi")
    encoding.bias.pair.slope_H.fill_(50.0)
    qkv = torch.randn(BATCH, GRID.tokens, 3 * HEADS * 16, dtype=dtype)
    rotation = rotation_of(encoding, HEADS, 16, qkv)
    pairs = by_layer(encoding, 1, None, qkv)[0]
    assert (
        float(row_entropies(qkv, HEADS, rotation, pairs).max())
        < 0.1
        < float(row_entropies(qkv, HEADS, rotation, None).min())
    )
