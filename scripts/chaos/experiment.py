"""A tiny experiment, driven in forks of this process, and what of its outcome must not depend on what happened."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

TINY = """\
schema_version: 1
name: chaos
seeds: [0]
data: {name: glyphs}
model: {preset: DiT-Nano/4}
train: {steps: 75, batch_size: 8, num_pictures: 64, warmup: 2, precision: float32}
models:
  rope: {encoding: {kind: axial_rope}}
methods:
  extrapolation: {model: rope}
  ntk: {model: rope, frequencies: {kind: ntk}}
resolutions:
  - {train: 16, test: [16, 24]}
evaluate:
  sampler: {steps: 2}
  num_samples: 24
  metrics: [kid, accuracy]
resources: {trials_in_parallel: 1, checkpoint_every: 0.001, sample_batch: 6}
report: {main_metric: kid, reference_method: ntk}
"""
PATIENCE = 180.0  # seconds after which a driver counts as hung
RESAMPLES = 200
Result = dict[str, str]  # what is compared -> digest


class Driven:
    """A driver in a fork of this process: no start of Python, no imports."""

    def __init__(self, work: Callable[[], None], text: Path) -> None:
        self._sentence = text
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid:
            self._child(work)
        self._began = time.monotonic()

    def _child(self, work: Callable[[], None]) -> None:
        code = 70
        try:
            output = os.open(self._sentence, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.setsid()
            work()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def kill(self) -> None:
        """SIGKILL to the driver and all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def code(self) -> int:
        """Wait for its end; a driver that hangs is killed."""
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() - self._began > PATIENCE:
                self.kill()
            time.sleep(0.01)


def run(*arguments: str) -> Callable[[], None]:
    """The command line, as a user types it."""

    def work() -> None:
        from rpe2d_bench.analysis import significance
        from rpe2d_bench.cli import main

        significance.separate.__defaults__ = (RESAMPLES, *significance.separate.__defaults__[1:])
        sys.argv = ["rpe2d-bench", *arguments]
        main()

    return work


def drive(folder: Path, store: Path) -> Callable[[], None]:
    """Everything of the experiment but its report: trainings, samples, measurements, records, comparisons."""

    def work() -> None:
        from rpe2d_bench import runner
        from rpe2d_bench.analysis import significance
        from rpe2d_bench.errors import UserError
        from rpe2d_bench.storage.store import Store

        place = Store(store)
        try:
            records = runner.run(plan(folder), place, engine="local")
            significance.separate(records, place.root, RESAMPLES, print)
        except UserError as error:
            print(f"error: {error}")
            raise SystemExit(2) from None
        finally:
            notices = place.root / "progress" / "notices.log"
            with suppress(OSError):  # this output is a file, too, which may not grow any more
                print(notices.read_bytes().decode("utf-8", "replace") if notices.exists() else "", flush=True)

    return work


def plan(folder: Path) -> Any:
    """The experiment's plan."""
    from rpe2d_bench.plan.expand import make_plan
    from rpe2d_bench.resolve.load import load_experiment

    file = folder / "chaos.yaml"
    if not file.exists():
        file.write_text(TINY)
    return make_plan(load_experiment(file, (), ()), ())


def outcome(store: Path) -> Result:
    """What is in a store, without times: weights, losses, samples, metrics of records, comparisons."""
    from rpe2d_bench.errors import UserError
    from rpe2d_bench.storage import records
    from rpe2d_bench.storage.images_file import UNREADABLE

    found: Result = {}

    def keep(name: str, content: bytes) -> None:
        found[name] = hashlib.sha256(content).hexdigest()

    stages = store / "stages"
    for path in sorted(stages.glob("train/*/weights.safetensors")):
        keep(f"weights {path.parent.name}", path.read_bytes())
    for path in sorted(stages.glob("train/*/curve.jsonl")):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            lines = [json.loads(line) for line in path.read_bytes().split(b"\n") if line]
            keep(f"curve {path.parent.name}", json.dumps([[line["step"], line["loss"]] for line in lines]).encode())
    for path in sorted(stages.glob("*/*/samples.npz")):
        if not path.parent.name.endswith(".partial"):
            try:
                with np.load(path) as arrays:
                    keep(f"samples {path.parent.name}", arrays["images"].tobytes() + arrays["labels"].tobytes())
            except UNREADABLE as error:
                keep(f"samples {path.parent.name}", repr(error).encode())
    try:
        for record in records.read(store, lambda _: None):
            numbers = {key: value for key, value in record.metrics.items() if key != "images_per_second"}
            keep(f"record {record.identity}", json.dumps([record.status, numbers], sort_keys=True).encode())
    except UserError:
        keep("records", b"none")
    for path in sorted((store / "comparisons").glob("*.json")):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            content = json.loads(path.read_bytes())
            keep(f"comparison {path.name}", json.dumps(content["entries"], sort_keys=True).encode())
    return found
