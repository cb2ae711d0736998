"""What trainings on accelerators rely on and a CPU can show: parts of a batch add up, no step waits for a number."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.planned import planned
from helpers.stripes import Stripes
from helpers.trainings import SPECS, training
from torch.utils._python_dispatch import TorchDispatchMode

from rpe2d_bench.errors import UserError
from rpe2d_bench.stages.run_context import RunContext
from rpe2d_bench.storage.store import Store
from rpe2d_bench.training.distributed import Ranks
from rpe2d_bench.training.loop import Training


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("accumulate", [2, 3])
def test_parts_of_a_batch_add_up_to_it(name: str, accumulate: int) -> None:
    recipe: dict[str, Any] = {"batch_size": 8, "micro_conditioning": name == "random", "steps": 6}
    whole = [step.loss.item() for step in training(SPECS[name], **recipe).steps(Stripes())]
    parts = [step.loss.item() for step in training(SPECS[name], accumulate=accumulate, **recipe).steps(Stripes())]
    assert parts == pytest.approx(whole, abs=1e-5)


class Counted(TorchDispatchMode):
    """Counts what makes a host wait for a device: reading a number, and operations whose result's size is data."""

    WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "unique")

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if any(name.startswith(wait) for wait in self.WAITS):
            self.waits.append(name)
        return func(*args, **(kwargs or {}))


class Prepared:
    """One batch, drawn beforehand: drawing uses the CPU's numbers, which nothing has to wait for."""

    def __init__(self) -> None:
        self._batch = Stripes().batch(torch.Generator().manual_seed(0), 8)

    def batch(self, rng: torch.Generator, batch_size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return self._batch


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_no_step_reads_a_number(name: str, optimizer: str) -> None:
    made = training(SPECS[name], optimizer=optimizer, accumulate=2, batch_size=8, steps=5, precision="bf16")
    steps = made.steps(Prepared())
    next(steps)  # the optimizer's state is made
    with Counted() as counted:
        for step in steps:
            assert step.loss.ndim == 0
    assert counted.waits == []
    with Counted() as counted:
        step.loss.item()
    assert counted.waits == ["_local_scalar_dense"]  # it can count


@pytest.mark.parametrize(
    ("name", "optimizer", "sharded", "compiled", "accumulate"),
    [
        pytest.param("random", "adamw", "", "", 1, marks=pytest.mark.slow),
        ("learned", "muon", "", "", 3),
        ("learned", "muon", "sharded", "", 2),
        pytest.param("mixed", "adamw", "sharded", "", 3, marks=pytest.mark.slow),
        pytest.param("random", "muon", "sharded", "", 1, marks=pytest.mark.slow),
        pytest.param("learned", "adamw", "", "compiled", 2, marks=pytest.mark.slow),
        pytest.param("learned", "adamw", "sharded", "compiled", 2, marks=pytest.mark.slow),
    ],
)
def test_two_processes_compute_what_one_does(
    name: str, optimizer: str, sharded: str, compiled: str, accumulate: int, tmp_path: Path
) -> None:
    """Three and four images of a batch of seven, over gloo: the same losses, gradient norms and averaged weights.

    Sharded, each holds about half of weights and moments. Two processes and one continue from the same checkpoint.
    """
    if compiled and shutil.which("g++") is None:
        pytest.skip("torch.compile needs a C++ compiler")
    script = str(Path(__file__).parents[1] / "helpers" / "two_processes.py")
    options = [name, optimizer, sharded, compiled, str(accumulate)]
    processes = [subprocess.Popen([sys.executable, script, rank, str(tmp_path), *options]) for rank in ("0", "1")]
    assert [process.wait(timeout=600) for process in processes] == [0, 0]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    for same in ("losses", "norms", "weights", "resumed"):
        assert first[same] == second[same]
    recipe: dict[str, Any] = {"batch_size": 7, "steps": 6, "optimizer": optimizer}
    alone = training(SPECS[name], micro_conditioning=name == "random", **recipe)
    steps = list(alone.steps(Stripes()))
    assert first["losses"] == pytest.approx([step.loss.item() for step in steps], abs=1e-5)
    assert first["norms"] == pytest.approx([step.grad_norm.item() for step in steps], rel=1e-3)
    for key, value in torch.load(tmp_path / "average.pt", weights_only=True).items():
        torch.testing.assert_close(value, alone.ema.state_dict()[key], atol=2e-4, rtol=0, msg=key)
    states = [tensor for part in alone.optimizers.parts for state in part.state.values() for tensor in state.values()]
    whole = {"moments": sum(tensor.numel() for tensor in states if tensor.ndim)}
    whole["held"] = sum(weight.numel() for weight in alone.denoiser.parameters())
    for what, count in whole.items():
        if sharded:
            assert first[what] + second[what] == count
            assert max(first[what], second[what]) < 0.7 * count
        else:
            assert first[what] == count
    resumed = training(SPECS[name], micro_conditioning=name == "random", **recipe)
    resumed.load_state_dict(torch.load(tmp_path / "checkpoint.pt", weights_only=True))
    assert first["losses"][4:] == pytest.approx([step.loss.item() for step in resumed.steps(Stripes())], abs=1e-5)
    assert first["losses"][4:] == pytest.approx(first["resumed"], abs=1e-5)


def test_every_process_has_as_many_parts() -> None:
    for world in range(1, 6):
        for count in range(world, 30):
            for accumulate in range(1, 8):
                found = [Ranks(rank, world).parts(count, accumulate) for rank in range(world)]
                assert len({len(parts) for parts in found}) == 1
                assert len(found[0]) <= accumulate
                rows = [row for parts in found for part in parts for row in range(count)[part]]
                assert rows == list(range(count))
                largest = -(-count // world // accumulate)
                assert max(part.stop - part.start for parts in found for part in parts) <= largest + 1


def test_parts_of_a_batch_cover_it_once() -> None:
    for world in range(1, 6):
        for count in range(world, 20):
            parts = [Ranks(rank, world).rows(count) for rank in range(world)]
            assert [row for part in parts for row in part] == list(range(count))
            assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_more_processes_than_images_are_refused() -> None:
    with pytest.raises(UserError, match="less than the 3 GPUs"):
        training(batch_size=2, ranks=Ranks(0, 3))


def test_a_trained_model_stays_where_it_was_trained(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its validation loss is computed there after its weights were written, which take copies on the CPU."""
    places: list[object] = []
    stage = planned(tiny).trials[0].stage

    def loss(training: Any, *_: Any) -> float:
        places.append([parameter.data_ptr() for parameter in training._averages])
        return 0.0

    def moved(module: torch.nn.Module, place: object) -> torch.nn.Module:
        """As if every move took the weights away."""
        if places_of_training:
            for parameter in module.parameters():
                parameter.data = parameter.data.clone()
        return module

    places_of_training: list[object] = []
    steps = Training.steps

    def trained(training: Training, pool: Any) -> Iterator[Any]:
        yield from steps(training, pool)
        places_of_training.append([parameter.data_ptr() for parameter in training._averages])

    monkeypatch.setattr(Training, "steps", trained)
    monkeypatch.setattr(torch.nn.Module, "to", moved)
    monkeypatch.setattr("rpe2d_bench.stages.train.validation_loss", loss)
    stage.make(RunContext(Store(tmp_path / "runs")))
    assert places == places_of_training
