"""A device without float64, as Apple's GPUs are: emulated on torch's meta device, which then refuses it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from rpe2d_bench.diffusion import Flow, path
from rpe2d_bench.diffusion.samplers import SAMPLERS
from rpe2d_bench.encodings import FREQUENCIES, LOGIT_SCALES, POSITIONS, AxialRoPE, AxialSinCos, Context, Grid, scaling
from rpe2d_bench.models import DiT, preset
from rpe2d_bench.stages.probes.attention_entropy import row_entropies

GRID, TRAIN = Grid(12, 9), Grid(8, 8)


class NoFloat64(TorchDispatchMode):
    """Whatever makes a float64 tensor on the meta device fails, as torch fails on MPS."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for part in tree_flatten(out)[0]:
            if isinstance(part, Tensor) and part.device.type == "meta" and part.dtype == torch.float64:
                raise TypeError(f"no float64 here: {func}")
        return out


def context() -> Context:
    return Context(GRID, TRAIN, t=torch.empty(2, device="meta"), batch=2)


def rule(cls: Any) -> Any:
    return cls(**getattr(cls, "example", {}))


def test_the_emulation_refuses_float64() -> None:
    with NoFloat64(), pytest.raises(TypeError, match="no float64 here"):
        torch.empty(2, device="meta").double()


@pytest.mark.parametrize("name", list(FREQUENCIES))
def test_frequencies(name: str) -> None:
    with NoFloat64():
        found = rule(FREQUENCIES[name])(context(), 0, 8)
    assert (found.device.type, found.dtype, found.shape[1]) == ("meta", torch.float32, 8)


@pytest.mark.parametrize("name", list(POSITIONS))
def test_positions(name: str) -> None:
    with NoFloat64():
        found = rule(POSITIONS[name])(context())
    assert [part.dtype for part in found] == [torch.float32] * 2


@pytest.mark.parametrize("layout", ["even", "mean", "centred", "contiguous", "random"])
@pytest.mark.parametrize("draw", ["integer", "real", "stratified", "stride_jitter"])
def test_random_positions(draw: str, layout: str) -> None:
    with NoFloat64():
        found = POSITIONS["random"](max_grid=(64, 64), draw=draw, inference=layout)(context())
    assert [part.device.type for part in found] == ["meta"] * 2


@pytest.mark.parametrize("name", list(LOGIT_SCALES))
def test_logit_scales(name: str) -> None:
    with NoFloat64():
        rule(LOGIT_SCALES[name])(context())


# An adaptive sampler reads its errors, and the meta device has no numbers: those it keeps on the CPU.
@pytest.mark.parametrize("kind", [kind for kind, sampler in SAMPLERS.items() if not sampler.adaptive])
@pytest.mark.parametrize("frequencies", ["geometric", "yarn", "dype_yarn"])
def test_a_transformer_under_every_sampler(kind: str, frequencies: str) -> None:
    options = preset("DiT-Nano/4")
    with NoFloat64(), torch.inference_mode(), torch.device("meta"):
        dit = DiT(options, channels=1, num_classes=10, micro_conditioning=True)
        encoding = AxialRoPE(options.head_width, frequencies=rule(FREQUENCIES[frequencies]))

        def velocity(x: Tensor, t: float | Tensor) -> Tensor:
            t_1 = torch.full((1,), float(t), dtype=torch.float32)
            realised = encoding(Context(GRID, TRAIN, t_1))
            return dit(x, t_1.expand(len(x)), torch.zeros(len(x), dtype=torch.long), realised)

        flow = Flow(velocity, path("linear"), lambda: torch.empty(2, 1, 48, 36))
        *_, x = SAMPLERS[kind](flow, torch.empty(2, 1, 48, 36), times_on_the_cpu(kind, 3))
    assert x.shape == (2, 1, 48, 36)


def times_on_the_cpu(kind: str, steps: int) -> list[float]:
    with torch.device("cpu"):
        return SAMPLERS[kind].times(steps)


def test_sin_cos_and_entropies() -> None:
    options = preset("DiT-Nano/4")
    with NoFloat64():
        AxialSinCos(options.width)(context())
        from rpe2d_bench.models.attention import rotation_of

        qkv = torch.empty(1, GRID.tokens, 3 * options.width, device="meta")
        rotation = rotation_of(AxialRoPE(options.head_width)(context()), options.heads, options.head_width, qkv)
        found = row_entropies(qkv.expand(2, -1, -1), options.heads, rotation, None)
    assert found.dtype == torch.float32


@pytest.mark.parametrize("name", list(FREQUENCIES))
def test_float32_is_off_by_less_than_a_millionth(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What such a device computes, against float64: the relative error of every frequency."""
    method = rule(FREQUENCIES[name])
    cases = [
        (Context(Grid(s * L, s * L), Grid(L, L), t=torch.tensor([t])), F)
        for L in (8, 16, 64)
        for s in (1, 2, 4)
        for t in (0.1, 0.5, 1.0)
        for F in (8, 18, 28)
    ]
    exact = [method(ctx, 0, F) for ctx, F in cases]

    def never(device: torch.device) -> bool:
        return False

    for module in (scaling, __import__("rpe2d_bench.encodings.frequencies", fromlist=["x"])):
        monkeypatch.setattr(module, "has_float64", never)
    monkeypatch.setattr("rpe2d_bench.encodings.frequencies.geometric", rounded)
    worst = max(float(((method(c, 0, F) - e).abs() / e).max()) for (c, F), e in zip(cases, exact, strict=True))
    assert worst < 1e-6


def rounded(F: int, theta: float | Tensor, device: torch.device) -> Tensor:
    """geometric as a device without float64 has it: a number's powers rounded once, a tensor's taken in float32."""
    i_F = torch.arange(F, dtype=torch.float64)
    if isinstance(theta, Tensor):
        return theta.float().reshape(-1, 1) ** (-i_F.float() / F)
    return (torch.full((1, 1), theta, dtype=torch.float64) ** (-i_F / F)).float()
