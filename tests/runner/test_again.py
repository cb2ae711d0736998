"""Published cells are computed again, or scored again from kept samples; what does not agree is said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import rpe2d_bench
from rpe2d_bench.analysis.frame import COLUMNS
from rpe2d_bench.errors import UserError
from rpe2d_bench.runner.again import Value, again, chosen, name_of
from rpe2d_bench.storage import records
from rpe2d_bench.storage.store import Store


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a run that was started from Python."""
    from helpers.tiny_experiment import TINY

    folder = tmp_path_factory.mktemp("published")
    (folder / "tiny.yaml").write_text(TINY)
    frame = rpe2d_bench.run(folder / "tiny.yaml", store=folder / "runs", only=("extrapolation",), engine="local",
                            **{"evaluate.sampler.steps": 3, "seeds": [4]})  # fmt: skip
    assert tuple(frame.columns) == COLUMNS
    assert set(frame[frame.stage == "measure"].seed) == {4}
    assert frame[frame.stage == "measure"].value.notna().all()
    return folder / "runs"


def test_the_run_is_the_one_that_the_command_knows(published: Path) -> None:
    (record, *_) = chosen(records.read(published), None)
    assert record.config.experiment.evaluate.sampler.steps == 3
    assert sorted(record.configuration.overrides) == ["evaluate.sampler.steps=3", "seeds=[4]"]


def test_a_cell_computed_again_is_the_same(published: Path, tmp_path: Path) -> None:
    found = records.read(published)
    cell = chosen(found, None)[0]
    compared = again(cell, found, Store(tmp_path))
    assert not compared.moved
    assert {value.verdict for value in compared.values} == {"the same"}
    assert (tmp_path / "stages/train").is_dir()  # from the recipe, not from what was kept


def test_kept_samples_are_scored_without_a_training(published: Path, tmp_path: Path) -> None:
    found = records.read(published)
    cell = chosen(found, None)[0]
    compared = again(cell, found, Store(tmp_path), samples=Store(published))
    assert {value.verdict for value in compared.values} == {"the same"}
    assert not (tmp_path / "stages/train").exists()
    with pytest.raises(UserError, match="no samples of this cell"):
        again(cell, found, Store(tmp_path / "new"), samples=Store(tmp_path / "empty"))


def test_a_number_that_was_changed_is_found_and_the_exit_code_says_so(published: Path, tmp_path: Path) -> None:
    cell = chosen(records.read(published), None)[0]
    metric = next(iter(cell.metrics))
    changed = cell.model_copy(update={"metrics": cell.metrics | {metric: cell.metrics[metric] + 0.5}})
    records.append(tmp_path, changed)
    command = ["verify", str(tmp_path), name_of(cell), "--samples", str(published), "--store", str(tmp_path / "again")]
    code = "from rpe2d_bench.cli import main; main()"
    ran = subprocess.run([sys.executable, "-c", code, *command], env=os.environ, capture_output=True, text=True)
    assert ran.returncode == 1, ran.stderr
    (line,) = [line for line in ran.stdout.splitlines() if metric in line]
    assert "differs; one seed was published" in line


def test_cells_are_named_by_method_size_and_seed(published: Path) -> None:
    found = records.read(published)
    cells = chosen(found, None)
    assert chosen(found, name_of(cells[-1])) == [cells[-1]]
    assert chosen(found, "extrapolation") == cells
    with pytest.raises(UserError, match="did you mean 'extrapolation@"):
        chosen(found, "extrapolatio@" + name_of(cells[0]).partition("@")[2])


@pytest.mark.parametrize(
    ("again", "spread", "verdict"),
    [(1.0, None, "the same"), (1.2, 0.1, "within the spread of seeds"), (1.4, 0.1, "differs by more than seeds do"),
     (1.1, None, "differs; one seed"), (None, 0.1, "not comparable")],
)  # fmt: skip
def test_verdicts(again: float | None, spread: float | None, verdict: str) -> None:
    value = Value("kid", 1.0, again, spread)
    assert value.verdict.startswith(verdict)
    assert value.agrees == (verdict in ("the same", "within the spread of seeds"))
