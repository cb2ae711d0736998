"""Records: the immutable results that reports and MLflow are views of.

A store (``runs/`` by default) holds ``records.jsonl``: one Record a line, appended, never edited.
A later line with the same identity (run, stage, model, method, resolutions, seed) supersedes an earlier one when read.
"""

from __future__ import annotations

import fcntl
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from rpe2d_bench.errors import UserError

RECORDS_FILE = "records.jsonl"
PACKAGES = ("rpe2d-bench", "torch", "numpy", "ray", "mlflow", "clean-fid")
# The dirty flag looks at what can change a number, not at documents.
CODE = ("rpe2d_bench", "baselines", "experiments", "pyproject.toml")

Resolution = tuple[int, int]  # height, width in pixels


class Provenance(BaseModel):
    """Where a number comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    commit: str | None = None  # of the code, when it runs from a repository
    dirty: bool = False  # code or experiments differ from that commit
    packages: dict[str, str] = {}
    python: str = ""
    platform: str = ""
    device: str = "cpu"
    command: str = ""  # what the user typed


class Record(BaseModel):
    """One result: a trained model, a measured cell, or a reference measured against itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    # train: one trained model. measure: one method at one test resolution. floor: real against real pictures.
    # reconstruction: what an autoencoder leaves of real pictures, against other real pictures.
    stage: Literal["train", "measure", "floor", "reconstruction"]
    status: Literal["ok", "failed"] = "ok"
    error: str | None = None  # one line, when failed
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    experiment: str  # the YAML's name
    run: str  # one invocation of `run` on one resolved configuration: same configuration, same run
    key: str  # content address of the stage that made it
    model: str | None = None  # entry of `models:`
    method: str | None = None  # entry of `methods:`; None for train and floor
    train_resolution: Resolution | None = None
    test_resolution: Resolution | None = None
    seed: int | None = None
    num_samples: int | None = None  # pictures that were really used on each side

    metrics: dict[str, float] = {}  # measure, floor: fd_glyphnet, ...; train: loss, validation_loss, images_per_second
    metric_versions: dict[str, str] = {}
    timings: dict[str, float] = {}  # seconds of computation per part, as measured when the stage really ran
    details: dict[str, Any] = {}  # realised encoding, sampler, counts of parameters and FLOPs, resize mode, ...
    config: dict[str, Any] = {}  # resolved parts of the experiment that produced it
    written: dict[str, Any] = {}  # the same parts as the user wrote them
    overrides: list[str] = []  # --set arguments
    artifacts: dict[str, str] = {}  # name -> path below the store: curve, checkpoint, samples, strip
    provenance: Provenance = Provenance()

    @property
    def identity(self) -> tuple[Any, ...]:
        """What makes a record the newer version of an older one."""
        return (self.run, self.stage, self.model, self.method, self.train_resolution, self.test_resolution, self.seed)


def append(store: Path, record: Record) -> None:
    """Append one record as one line; safe with several writers on one machine, and after a kill in mid-line."""
    store.mkdir(parents=True, exist_ok=True)
    line = record.model_dump_json().encode() + b"\n"
    with (store / RECORDS_FILE).open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _drop_torn_line(file)
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def _drop_torn_line(file: IO[bytes]) -> None:
    """Cut what a kill left behind the last line feed, so that the next line stands alone."""
    end = whole = file.seek(0, os.SEEK_END)
    while whole:
        start = max(0, whole - 4096)
        file.seek(start)
        found = file.read(whole - start).rfind(b"\n")
        if found >= 0:
            whole = start + found + 1
            break
        whole = start
    if whole < end:
        file.truncate(whole)
    file.seek(0, os.SEEK_END)


def read(source: Path) -> list[Record]:
    """All records of a store (or of a .jsonl file), newest version of each identity, in order of first appearance.

    A torn last line, as a kill can leave, is skipped; damage elsewhere is an error that names the line.
    """
    path = source / RECORDS_FILE if source.is_dir() else source
    if not path.exists():
        raise UserError(f"no records at {path}; run an experiment first: rpe2d-bench run experiments/NAME.yaml")
    newest: dict[tuple[Any, ...], Record] = {}
    for record in _parse(path):
        newest[record.identity] = record
    return list(newest.values())


def _parse(path: Path) -> Iterator[Record]:
    lines = path.read_text().splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        if not line.endswith("\n"):
            return  # torn by a kill; `append` cuts it off
        try:
            yield Record.model_validate_json(line)
        except ValueError as error:
            raise UserError(f"{path}:{number}: not a record; remove the line or restore the file") from error


def latest_run(records: Iterable[Record], experiment: str | None = None) -> str | None:
    """The run whose newest record is the newest of all (of an experiment, when given)."""
    chosen = [record for record in records if experiment in (None, record.experiment)]
    return max(chosen, key=lambda record: record.created).run if chosen else None


@lru_cache(maxsize=1)
def _commit() -> tuple[str | None, bool]:
    root = Path(__file__).resolve().parent.parent

    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True).stdout

    try:
        commit = git("rev-parse", "HEAD").strip()
        return commit, bool(git("status", "--porcelain", "--", *CODE).strip())
    except (OSError, subprocess.CalledProcessError):
        return None, False


def provenance(device: str = "cpu") -> Provenance:
    """The provenance of a result made now, by this process."""
    commit, dirty = _commit()
    installed = {}
    for package in PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return Provenance(
        commit=commit,
        dirty=dirty,
        packages=installed,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        device=device,
        command=" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    )
