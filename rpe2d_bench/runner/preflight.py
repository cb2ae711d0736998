"""Before anything starts on a cluster: every node sees the store and runs this code, and what is asked for fits.

Each failure is one sentence. Nodes without CPUs, as heads often are, run no stage and are not asked; nodes that join
later are not looked at.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rpe2d_bench.config.experiment import Resources
from rpe2d_bench.errors import UserError
from rpe2d_bench.runner.several_gpus import processes
from rpe2d_bench.stages.run_context import RunContext
from rpe2d_bench.storage.files import held, locked
from rpe2d_bench.storage.records import ROOT, provenance

ANSWER = 180.0  # seconds that a node has to start a worker and import the package
PACKAGES = ("rpe2d_bench", "baselines")


@dataclass(frozen=True)
class Look:
    """What one process sees."""

    sees: bool  # the probe in the store
    writes: bool
    locks: bool  # that the driver holds the probe
    code: str  # digest of the package's source
    commit: str | None
    versions: dict[str, str]


def look(probe: Path) -> Look:
    """What this process sees of a file that the driver made in the store, which it holds."""
    answer = probe.with_name(f"{probe.name}.{uuid.uuid4().hex}")
    writes = False
    with suppress(OSError):
        answer.touch()
        answer.unlink()
        writes = True
    about = provenance()
    return Look(probe.exists(), writes, held(probe), _code(), about.commit, {"Python": about.python, **about.packages})


def _code() -> str:
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def check(context: RunContext) -> None:
    """Ask every node of the cluster that Ray is connected to. Raises UserError, one sentence for the first failure."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    if refusal := misfit(context.resources, [node["Resources"] for node in nodes]):
        raise UserError(refusal)
    probe = context.store.root / "locks" / f"preflight-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    ask = ray.remote(num_cpus=0, max_retries=0)(look)
    with locked(probe):
        try:
            here, answers = look(probe), {}
            for node in nodes:
                there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                answers[f"{node['NodeName']} ({node['NodeID'][:8]})"] = ask.options(scheduling_strategy=there).remote(
                    probe
                )
            for name, answer in answers.items():
                if refusal := complaint(name, _answer(ray, name, answer), here, context.store.root):
                    raise UserError(refusal)
        finally:
            probe.unlink(missing_ok=True)


def _answer(ray: Any, node: str, answer: Any) -> Look:
    try:
        found: Look = ray.get(answer, timeout=ANSWER)
    except ray.exceptions.GetTimeoutError:
        raise UserError(f"node {node} did not answer in {ANSWER:.0f} s; look at it with `ray status`") from None
    except Exception as error:
        line = (str(error).strip().splitlines() or ["no message"])[-1]
        raise UserError(
            f"node {node} can't run this package ({line}); install the same version on every node"
        ) from None
    return found


def complaint(node: str, there: Look, here: Look, store: Path) -> str | None:
    """What makes a node unfit, compared with the driver, or None."""
    if not there.sees:
        return f"node {node} does not see the store {store}; --store must be a folder that all nodes share, by one path"
    if not there.writes:
        return f"node {node} can't write to the store {store}; let the user of its Ray write there"
    if not there.locks:
        return f"node {node} does not see locks of the store {store}; its file system needs flock between nodes"
    if there.code != here.code:
        return (
            f"node {node} runs other code (commit {_short(there)}, here {_short(here)}); install the same on every node"
        )
    for name in sorted(here.versions.keys() | there.versions.keys()):
        one, other = there.versions.get(name, "none"), here.versions.get(name, "none")
        if one != other:
            return f"node {node} has {name} {one}, here it is {other}; install the same on every node"
    return None


def _short(side: Look) -> str:
    return (side.commit or "unknown")[:8]


def misfit(resources: Resources, nodes: Sequence[Mapping[str, float]]) -> str | None:
    """Why a training would wait for ever, or None; nodes: CPU and GPU of each."""
    cpus, together = resources.cpus_per_trial, processes(resources)
    gpus = min(1.0, resources.gpus_per_trial) if resources.device == "cuda" else 0.0
    room = sum(int(min(n.get("CPU", 0) // cpus, n.get("GPU", 0) // gpus if gpus else together)) for n in nodes)
    if room >= together:
        return None
    request = f"{cpus} CPUs" + (f" and {gpus:g} GPUs" if gpus else "")
    largest = max(nodes, key=lambda n: (n.get("GPU", 0), n.get("CPU", 0)), default={})
    has = f"the largest has {largest.get('CPU', 0):g} CPUs and {largest.get('GPU', 0):g} GPUs"
    if together == 1:
        return f"no node of the cluster has {request}, which resources ask for; {has}"
    return f"the cluster has room for {room} processes of {request}, resources ask for {together}; {has}"
