"""What a person sees while a run goes on fits the terminal."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from rich.console import Console

from rpe2d_bench import loading
from rpe2d_bench.plan import make_plan
from rpe2d_bench.progress import ProgressFiles
from rpe2d_bench.runner.display import Display
from rpe2d_bench.store import Store

EXPERIMENT = Path(__file__).parent.parent.parent / "experiments/res_generalization.yaml"


@pytest.mark.parametrize("width", [80, 140])
def test_workers_fit_the_terminal(tmp_path: Path, width: int) -> None:
    plan, store = make_plan(loading.load(EXPERIMENT)), Store(tmp_path)
    display = Display(plan, store, Console(file=io.StringIO(), width=width), "kid")
    cell = max((c for t in plan.trials for c in t.cells), key=lambda cell: len(cell.method))
    stages = [("train", plan.trials[0].stage.key), ("sample", cell.measure.generated.key)]
    for stage, key in stages:
        facts = {"loss": 0.123456, "images_per_second": 4321.0}
        files = ProgressFiles(store)
        files(stage, key, 100, 20_000, facts)
        files._written.clear()
        time.sleep(0.01)
        files(stage, key, 1234, 20_000, facts)
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(display._panel(ProgressFiles(store).read()))
    said = console.file.getvalue()  # type: ignore[attr-defined]
    lines = said.splitlines()
    assert len(lines) == 1 + len(stages) * (2 if width == 80 else 1)
    assert max(map(len, lines)) <= width
    for words in (f"train {plan.trials[0].label}", f"sample {cell.method} ", "1234/20000", "loss 0.1235",
                  "4321 images/s", "left"):  # fmt: skip
        assert words in said
    assert "…" not in said
