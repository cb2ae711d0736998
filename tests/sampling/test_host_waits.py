"""The host never waits for a GPU in a step of sampling: on torch's meta device, which has no numbers to wait for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers.sampled_compiled import CASES, model
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from rpe2d_bench.config.experiment import Sampler
from rpe2d_bench.diffusion import SAMPLERS
from rpe2d_bench.encodings import Grid
from rpe2d_bench.sampling import loop
from rpe2d_bench.sampling.loop import sample


class Waits(TorchDispatchMode):
    """Counts what makes a host wait on CUDA: copies from its memory that are not said to be non-blocking.

    A number that is read from the device, or a copy from it, is an error of the meta device's own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        given = [part for part in tree_flatten((args, kwargs))[0] if isinstance(part, Tensor)]
        from_host = any(part.device.type == "cpu" and part.ndim for part in given)
        to_device = isinstance(out, Tensor) and out.device.type == "meta"
        non_blocking = kwargs.get("non_blocking") or (func is torch.ops.aten.copy_.default and args[2:] == (True,))
        self.count += from_host and to_device and not non_blocking
        return out


class Numbers(TorchFunctionMode):
    """Counts Python numbers that are copied to the device: the dispatcher does not see them."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.count += func in (torch.tensor, torch.as_tensor, torch.asarray) and out.device.type == "meta"
        return out


def waits(name: str, steps: int, images: int, **sampler: Any) -> int:
    """While so many images are sampled, two together."""
    denoiser = model(CASES[name]).to("meta")
    options = Sampler.model_validate({"steps": steps, "guidance": 2.0, "precision": "float32", **sampler})
    with Waits() as copies, Numbers() as numbers:
        found = sample(
            denoiser, options, resolution=(12, 20), train_grid=Grid(4, 4), indices=np.arange(images), seed=0,
            batch_size=2, device="meta", decode=lambda x: torch.zeros(len(x), dtype=torch.uint8),
        )  # fmt: skip
        assert sum(map(len, found)) == images
    return int(copies.count + numbers.count)


def test_waits_are_counted() -> None:
    with Waits() as copies, Numbers() as numbers:
        torch.tensor([1.0], device="meta")
        torch.zeros(2).to("meta")
        torch.zeros(2).to("meta", non_blocking=True)
        torch.zeros(2, device="meta")[torch.tensor([1])]
    assert (copies.count, numbers.count) == (2, 1)
    with pytest.raises((RuntimeError, NotImplementedError)):
        torch.zeros(1, device="meta").item()


# relative_table asks which displacements occur, and waits for the answer in every pass; not on a device without numbers
@pytest.mark.parametrize("name", [name for name in CASES if name not in ("bf16", "heun", "dopri5", "ddpm")])
def test_no_encoding_makes_the_host_wait(name: str) -> None:
    once = waits(name, 2, 2)
    assert waits(name, 4, 6) == once <= 1  # what the crop is, before the first batch


@pytest.mark.parametrize("kind", [kind for kind, sampler in SAMPLERS.items() if not sampler.adaptive])
def test_no_sampler_makes_the_host_wait(kind: str) -> None:
    """But those that are adaptive, whose steps are as many as the images need."""
    assert waits("axial_rope", 3, 4, kind=kind) <= 1


def test_a_device_has_work_while_the_host_takes_images(monkeypatch: pytest.MonkeyPatch) -> None:
    denoiser = model(CASES["axial_rope"])
    options = Sampler.model_validate({"steps": 2, "precision": "float32"})

    def taken() -> tuple[list[str], np.ndarray]:
        events: list[str] = []

        def decode(x: Tensor) -> Tensor:
            events.append("made")
            return loop.to_uint8(x)

        parts = []
        for part in sample(
            denoiser, options, resolution=(16, 16), train_grid=Grid(4, 4), indices=np.arange(5), seed=0, batch_size=2,
            decode=decode,
        ):  # fmt: skip
            events.append("taken")
            parts.append(part)
        return events, np.concatenate(parts)

    events, at_once = taken()
    assert events == ["made", "taken"] * 3
    monkeypatch.setattr(loop, "AHEAD", {"cpu": 1})
    events, ahead = taken()
    assert events == ["made", "made", "taken", "made", "taken", "taken"]
    assert np.array_equal(at_once, ahead)
