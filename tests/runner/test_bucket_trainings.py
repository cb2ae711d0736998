"""A training in several processes on nodes that share nothing but a bucket."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.bucket_nodes import ADDRESS, Nodes, nodes_of_a_bucket
from safetensors.torch import load_file

from rpe2d_bench.plan.expand import Plan, make_plan
from rpe2d_bench.resolve.load import load_experiment
from rpe2d_bench.runner import run
from rpe2d_bench.stages.checkpoint import CHECKPOINT
from rpe2d_bench.storage.store import Store

LIMIT = 400.0  # seconds for anything awaited


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    with nodes_of_a_bucket(tmp_path, monkeypatch) as made:
        yield made


def planned(tiny: Path, *, sharded: bool) -> Plan:
    """A training that starts from another one's weights, with one place for a checkpoint: after 25 of 50 steps."""
    resources = (
        f"{{gpus_per_trial: 2, trials_in_parallel: 1, sharded: {str(sharded).lower()}, checkpoint_every: 0.001}}"
    )
    overrides = (
        f"resources={resources}",
        "train.steps=50",
        "train.milestones=[10]",
        "models={rope: {encoding: {kind: axial_rope}, train: {steps: 4, milestones: []}},"
        " longer: {encoding: {kind: axial_rope}, init: {model: rope}}}",
        "methods={extrapolation: {model: rope}, longer: {model: longer}}",
        "resolutions=[{train: 16, test: [16]}]",
        "report={main_metric: kid}",
    )
    return make_plan(load_experiment(tiny, overrides), overrides)


def wait(look: Callable[[], Any], running: Any) -> Any:
    """What `look` finds as soon as it is true."""
    deadline = time.monotonic() + LIMIT
    while not (found := look()):
        assert not running.done(), running.result()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("sharded", [False, True])
def test_a_node_dies_in_a_training_of_two_processes_that_share_only_a_bucket(
    nodes: Nodes, tiny: Path, tmp_path: Path, sharded: bool
) -> None:
    plan = planned(tiny, sharded=sharded)
    second = plan.trials[1].stage
    gate, held = (tmp_path / "gates" / f"{second.key}{end}" for end in ("", ".held"))
    gate.touch()
    for name in ("a", "b"):
        nodes.add(name)
    store = Store(ADDRESS)
    assert store.mirror is not None
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, plan, store, engine="ray")
        try:
            pid = int(wait(lambda: held.exists() and held.read_text().endswith("\n") and held.read_text(), running))
            there = f"stages/train/{second.key}.partial/{CHECKPOINT}"
            wait(lambda: store.mirror.bucket.read(there) is not None, running)  # type: ignore[union-attr]
            dead = nodes.of(pid)
            (other,) = {"a", "b"} - {dead}
            assert nodes.trained(dead)
            assert not [path for path in nodes.trained(other) if path.name == CHECKPOINT]  # it writes nothing
            nodes.kill(dead)
            wait(lambda: not Path(f"/proc/{pid}").exists(), running)
        finally:
            gate.unlink()
        nodes.add("c")
        found = running.result(LIMIT)
    assert {record.status for record in found} == {"ok"}
    noted = [line.split()[1] for line in gate.with_name("notes").read_text().splitlines() if line.startswith(gate.name)]
    assert noted == [CHECKPOINT, "manifest.json"]  # it went on from the checkpoint: the place of another was behind it
    curve = (store.folder("train", second.key) / "curve.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in curve] == [25, 50]
    alone = Store(tmp_path / "alone")
    run(plan, alone, engine="local")
    ours, theirs = (each.make("train", second.key, lambda _: pytest.fail("made again")) for each in (store, alone))
    for file in ("weights.safetensors", "weights-10.safetensors"):
        made, expected = load_file(ours / file), load_file(theirs / file)
        worst = max(float((made[name] - value).abs().max()) for name, value in expected.items())
        assert all(torch.isfinite(value).all() for value in made.values())
        assert worst < 1e-4
    assert not [path for name in "abc" for path in nodes.trained(name) if path.parent.name.endswith(".copy.partial")]
