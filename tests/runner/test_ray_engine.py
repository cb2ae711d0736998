"""How Ray's workers start: what a process has to know before its first thread cannot be told later."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rpe2d_bench.config import Resources
from rpe2d_bench.models.memory import ONE_HEAP
from rpe2d_bench.runner import ray_engine
from rpe2d_bench.store import Store
from rpe2d_bench.surroundings import Surroundings


@pytest.mark.slow
def test_workers_know_their_threads_and_keep_one_heap(tmp_path: Path) -> None:
    import ray

    ray_engine.start(Surroundings(Store(tmp_path), Resources(cpus_per_trial=1, trials_in_parallel=1)))
    try:
        found = ray.get(ray.remote(lambda: dict(os.environ)).remote())
    finally:
        ray.shutdown()
    assert found["OMP_NUM_THREADS"] == "1"
    assert {name: found[name] for name in ONE_HEAP} == ONE_HEAP
