"""Somebody's diffusers pipeline as a model of an experiment: run end to end, cached, reported; refused in a sentence."""

from pathlib import Path

import pytest
import tiny_pipelines

from rpe2d_bench.plan.expand import make_plan
from rpe2d_bench.resolve.load import load
from rpe2d_bench.runner import run
from rpe2d_bench.storage.store import Store

pytest.importorskip("diffusers", reason="diffusers is not installed (extra: pipelines)")

FILE = """\
schema_version: 1
name: theirs
data: {name: glyphs, channels: 3}
models:
  dit: {pipeline: {path: ./dit, dtype: float32, labels: [LABELS]}}
methods:
  own: {model: dit}
  extrapolation: {model: dit, frequencies: {kind: geometric}}
  ntk: {model: dit, frequencies: {kind: ntk}}
resolutions: [{train: 16, test: [16, 24]}]
evaluate: {sampler: {steps: 2}, num_samples: 6, metrics: [kid], judge: null}
resources: {trials_in_parallel: 1, sample_batch: 4}
report: {main_metric: kid, reference_method: ntk}
"""
LABELS = ", ".join(str(7 * k) for k in range(10))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_pipelines.dit(tmp_path_factory.mktemp("pipelines") / "dit")


def test_debug(folder: Path, tmp_path: Path) -> None:
    file = folder.parent / "theirs.yaml"
    file.write_text(FILE.replace("LABELS", LABELS))
    plan = make_plan(load(file))
    records = run(plan, Store(tmp_path / "runs"), engine="local")
    for r in records:
        print(r.stage, r.method, r.test_resolution, r.status, r.error, r.metrics)
    assert 0
