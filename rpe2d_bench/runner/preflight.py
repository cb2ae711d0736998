"""Before anything starts on a cluster: every node sees the store and runs this code, and what is asked for fits.

Each failure is one sentence. Nodes without CPUs, as heads often are, run no stage and are not asked; nodes that join
later are not looked at.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from rpe2d_bench.config.experiment import Resources
from rpe2d_bench.errors import UserError
from rpe2d_bench.runner.several_gpus import processes
from rpe2d_bench.stages.run_context import RunContext
from rpe2d_bench.storage.bucket import Bucket
from rpe2d_bench.storage.files import held, locked
from rpe2d_bench.storage.folder import name_of
from rpe2d_bench.storage.records import ROOT, provenance
from rpe2d_bench.storage.store import Store
from rpe2d_bench.storage.unwritable import Unwritable

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


def look(store: Store, name: str) -> Look:
    """What this process sees of a file that the driver made in the store, which it holds."""
    if store.mirror is not None:
        return _look_elsewhere(store.mirror.bucket, f"locks/{name}")
    probe = store.root / "locks" / name
    answer = probe.with_name(f"{probe.name}.{uuid.uuid4().hex}")
    writes = False
    with suppress(OSError):
        answer.touch()
        answer.unlink()
        writes = True
    return _look(probe.exists(), writes, held(probe))


def _look_elsewhere(bucket: Bucket, probe: str) -> Look:
    """The same of a store that needs no locks."""
    answer = f"{probe}.{uuid.uuid4().hex}"
    writes = False
    with suppress(Unwritable):
        bucket.write(answer, b"")
        bucket.remove(answer)
        writes = True
    return _look(bucket.read(probe) is not None, writes, True)


def _look(sees: bool, writes: bool, locks: bool) -> Look:
    about = provenance()
    return Look(sees, writes, locks, _code(), about.commit, {"Python": about.python, **about.packages})


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
    ask = ray.remote(num_cpus=0, max_retries=0)(look)
    with _probe(context.store) as probe:
        here, answers = look(context.store, probe), {}
        for node in nodes:
            there = ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False))
            answers[f"{node['NodeName']} ({node['NodeID'][:8]})"] = there.remote(context.store, probe)
        for name, answer in answers.items():
            if refusal := complaint(name, _answer(ray, name, answer), here, context.store):
                raise UserError(refusal)


@contextmanager
def _probe(store: Store) -> Iterator[str]:
    """Name of a file in the store's folder of locks that this process holds meanwhile."""
    name = f"preflight-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    try:
        if store.mirror is not None:
            store.mirror.bucket.write(f"locks/{name}", b"")
            yield name
        else:
            with locked(store.root / "locks" / name):
                yield name
    finally:
        (store.root / "locks" / name).unlink(missing_ok=True)
        if store.mirror is not None:
            store.mirror.bucket.remove(f"locks/{name}")


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


def complaint(node: str, there: Look, here: Look, store: Store) -> str | None:
    """What makes a node unfit, compared with the driver, or None."""
    name = name_of(store.root)
    if not there.sees:
        remedy = "--store must be a folder that all nodes share, by one path, or an address"
        if store.mirror:
            remedy = "give it the same endpoint as the driver"
        return f"node {node} does not see the store {name}; {remedy}"
    if not there.writes:
        return f"node {node} can't write to the store {name}; let the user of its Ray write there"
    if not there.locks:
        return f"node {node} does not see locks of the store {name}; its file system needs flock between nodes"
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
    gpus = min(1.0, resources.gpus) if resources.device == "cuda" else 0.0
    room = sum(int(min(n.get("CPU", 0) // cpus, n.get("GPU", 0) // gpus if gpus else together)) for n in nodes)
    if room >= together:
        return None
    request = f"{cpus} CPUs" + (f" and {gpus:g} GPUs" if gpus else "")
    largest = max(nodes, key=lambda n: (n.get("GPU", 0), n.get("CPU", 0)), default={})
    has = f"the largest has {largest.get('CPU', 0):g} CPUs and {largest.get('GPU', 0):g} GPUs"
    if together == 1:
        return f"no node of the cluster has {request}, which resources ask for; {has}"
    return f"the cluster has room for {room} processes of {request}, resources ask for {together}; {has}"
