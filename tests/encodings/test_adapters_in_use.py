"""Rules inside transformers as people run them: compiled, offloaded, with batches of prompts and with guidance."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers.tiny_transformers import LARGER, MODELS, TRAIN, build
from torch import Tensor, nn

from rpe2d_bench.encodings import FREQUENCIES
from rpe2d_bench.encodings.adapters import swap_rotary

pytest.importorskip("diffusers", reason="diffusers is not installed (extra: pipelines)")
TIMES = (0.9, 0.3)


def at_all_times(model: Any, name: str) -> list[Tensor]:
    return [MODELS[name][1](model, LARGER, t) for t in TIMES]


def apart(found: list[Tensor], expected: list[Tensor]) -> float:
    return max(float((a - b).abs().max() / b.abs().max().clamp(min=1)) for a, b in zip(found, expected, strict=True))


def check_compiled(name: str, backend: str, most: float) -> None:
    """Compiled before the swap, which has to be seen, at several times and after it is undone."""
    torch._dynamo.reset()
    model = build(name)
    if backend == "inductor":  # whose other order of sums alone is 2e-5 away with numbers as they are
        for parameter in model.parameters():
            parameter.mul_(0.5)
    own = at_all_times(model, name)
    restore = swap_rotary(model, TRAIN, FREQUENCIES["dype_ntk"]())
    ruled = at_all_times(model, name)
    restore()
    assert apart(ruled, own) > 5 * most
    model.compile(backend=backend)
    assert apart(at_all_times(model, name), own) < most
    restore = swap_rotary(model, TRAIN, FREQUENCIES["dype_ntk"]())
    assert apart(at_all_times(model, name), ruled) < most
    restore()
    assert apart(at_all_times(model, name), own) < most


@pytest.mark.parametrize("name", MODELS)
def test_rules_are_seen_by_a_traced_transformer(name: str) -> None:
    check_compiled(name, "eager", 1e-6)


# With numbers as small as inductor's error asks for, rules change next to nothing in the three that are left out: they
# are traced above.
FAINT = ("Flux2Transformer2DModel", "Lumina2Transformer2DModel", "QwenImageTransformer2DModel")
COMPILED = [name for name in MODELS if name not in FAINT]


@pytest.mark.slow  # half a minute or more each
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
@pytest.mark.parametrize("name", COMPILED)
def test_rules_are_seen_by_a_compiled_transformer(name: str) -> None:
    check_compiled(name, "inductor", 1e-5)


class Offloaded:
    """What accelerate's hook of a whole model does: its numbers are elsewhere before its forward runs, and after."""

    def __init__(self, model: nn.Module) -> None:
        self._kept = {n: v.data for n, v in (*model.named_parameters(), *model.named_buffers())}
        model.register_forward_pre_hook(self._fill, prepend=True)
        model.register_forward_hook(self._empty, always_call=True)
        self._empty(model)

    def _fill(self, model: nn.Module, _args: Any) -> None:
        self._put(model, self._kept)

    def _empty(self, model: nn.Module, *_: Any) -> None:
        self._put(model, {name: value.to("meta") for name, value in self._kept.items()})

    def _put(self, model: nn.Module, values: dict[str, Tensor]) -> None:
        parameters = dict(model.named_parameters())
        for name, value in values.items():
            module, _, leaf = name.rpartition(".")
            made = nn.Parameter(value, requires_grad=False) if name in parameters else value
            setattr(model.get_submodule(module), leaf, made)


def check_offloaded(model: Any, name: str, swap_first: bool, offload: Callable[[], Any]) -> None:
    """The same bits with the rules, before and after `offload`, and without them."""
    own = at_all_times(model, name)
    restore = swap_rotary(model, TRAIN, FREQUENCIES["dype_ntk"]())
    ruled = at_all_times(model, name)
    if not swap_first:
        restore()
    offload()
    assert all(parameter.is_meta for parameter in model.parameters())
    if not swap_first:
        restore = swap_rotary(model, TRAIN, FREQUENCIES["dype_ntk"]())
    assert apart(at_all_times(model, name), ruled) == 0
    restore()
    assert apart(at_all_times(model, name), own) == 0


@pytest.mark.parametrize("swap_first", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_weights_may_be_elsewhere_until_a_module_runs(name: str, swap_first: bool) -> None:
    model = build(name)
    check_offloaded(model, name, swap_first, lambda: Offloaded(model))


@pytest.mark.parametrize("swap_first", [True, False])
@pytest.mark.parametrize("hooks", ["model", "modules"])
@pytest.mark.parametrize("name", MODELS)
def test_accelerate_may_offload_the_weights(name: str, hooks: str, swap_first: bool) -> None:
    """By its own hooks, the whole model's and one on every module: weights are on the meta device between calls.

    A CPU has no second device, so that the way to it is not seen here, and `cpu_offload_with_hook` would do nothing.
    """
    accelerate = pytest.importorskip("accelerate", reason="accelerate is not installed")
    if (name, hooks) == ("HunyuanDiT2DModel", "modules"):
        pytest.skip("its own code reads weights outside of the module that holds them, and fails so without rules")
    from accelerate.hooks import AlignDevicesHook, add_hook_to_module, remove_hook_from_module

    model = build(name)
    own = at_all_times(model, name)

    def offload() -> None:
        if hooks == "modules":
            accelerate.cpu_offload(model, torch.device("cpu"), offload_buffers=True)
        else:
            weights = dict(model.state_dict())
            hook = AlignDevicesHook("cpu", offload=True, weights_map=weights, place_submodules=True)
            add_hook_to_module(model, hook)

    check_offloaded(model, name, swap_first, offload)
    remove_hook_from_module(model, recurse=True)
    assert apart(at_all_times(model, name), own) == 0


@pytest.mark.parametrize("name", MODELS)
def test_numbers_may_move_after_the_swap(name: str) -> None:
    """Another precision stands for another device: everything that the rules add follows the model."""
    model = build(name)
    restore = swap_rotary(model, TRAIN, FREQUENCIES["ntk"]())
    single = at_all_times(model, name)
    restore()
    again = build(name)
    swap_rotary(again, TRAIN, FREQUENCIES["ntk"]())
    again.to(torch.float64).to(torch.float32)
    assert apart(at_all_times(again, name), single) < 1e-5
