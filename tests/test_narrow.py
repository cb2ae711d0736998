"""What a run does on an ordinary processor is what it needs there: nothing multiplies in bfloat16 unless asked to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.narrow import Rates, refusal
from helpers.planned import planned
from torch.utils._python_dispatch import TorchDispatchMode

from rpe2d_bench.runner import run
from rpe2d_bench.stages.run_context import RunContext
from rpe2d_bench.storage.store import Store

HERE = Path(__file__).parent


class Products(TorchDispatchMode):
    """Names of the matrix products, convolutions and attentions that were computed in bfloat16."""

    KINDS = ("mm", "bmm", "addmm", "baddbmm", "convolution", "scaled_dot_product", "linear")

    def __init__(self) -> None:
        super().__init__()
        self.in_bfloat16: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        tensors = [value for value in args if isinstance(value, torch.Tensor)]
        if any(kind in name for kind in self.KINDS) and any(value.dtype == torch.bfloat16 for value in tensors):
            self.in_bfloat16.add(name)
        return func(*args, **(kwargs or {}))


def bfloat16_products_of_a_run(tiny: Path, store: Path, *overrides: str) -> set[str]:
    overrides = ("train.steps=3", *overrides)
    with Products() as products:
        found = run(planned(tiny, *overrides), Store(store), engine="local")
    assert {record.status for record in found} == {"ok"}
    return products.in_bfloat16


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_run_without_a_word_about_precision_needs_no_bfloat16_here(
    tiny: Path, tmp_path: Path, optimizer: str, pytestconfig: pytest.Config
) -> None:
    """Training, its optimizer, sampling and the nets of the metrics, on a processor whose bfloat16 is emulated."""
    if not pytestconfig.getoption("--narrow"):
        pytest.skip("only where the wide instructions are off: make test-avx2")
    assert bfloat16_products_of_a_run(tiny, tmp_path, f"train.optimizer={optimizer}") == set()


def test_bfloat16_that_was_asked_for_is_computed(tiny: Path, tmp_path: Path) -> None:
    context = RunContext(Store(tmp_path / "runs"))
    trained, sampled = (
        planned(tiny, "train.steps=3", f"{part}.precision=bf16").trials[0] for part in ("train", "evaluate.sampler")
    )
    with Products() as products:
        trained.stage.make(context)
    assert {"mm", "bmm"} & products.in_bfloat16
    sampled.stage.make(context)
    with Products() as products:
        sampled.cells[0].measure.generated.make(context)
    assert products.in_bfloat16


def test_rates_that_prove_nothing_are_refused() -> None:
    assert refusal(Rates(float32=38.0, bfloat16=2.7)) is None
    assert "prove nothing" in str(refusal(Rates(float32=106.0, bfloat16=474.0)))
    assert "prove nothing" in str(refusal(Rates(float32=50.0, bfloat16=45.0)))


@pytest.mark.parametrize("ratio", [0.07, 4.5])
def test_a_narrow_pass_stops_where_it_is_none(ratio: float, tmp_path: Path) -> None:
    helpers = tmp_path / "helpers"
    helpers.mkdir()
    (tmp_path / "conftest.py").write_text((HERE / "conftest.py").read_text())
    (helpers / "__init__.py").touch()
    (helpers / "tiny_experiment.py").write_text((HERE / "helpers/tiny_experiment.py").read_text())
    (helpers / "type_checks.py").write_text("install = lambda: None\n")
    (helpers / "narrow.py").write_text(
        f"measured = lambda: {ratio}\nrefusal = lambda rates: None if rates < 1 else f'{{rates}} is wide'\n"
    )
    fixture = "import pytest\n@pytest.fixture(scope='session')\ndef _measurements_are_short(): pass\n"  # without torch
    (tmp_path / "test_nothing.py").write_text(f"{fixture}def test_nothing(): pass\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--narrow", "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == (0 if ratio < 1 else 1)
    assert ("1 passed" if ratio < 1 else "is wide") in done.stdout
