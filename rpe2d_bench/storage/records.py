"""Records: the immutable results that reports and MLflow are views of.

A store (``runs/`` by default) holds ``records.jsonl``: one Record a line, appended, never edited.
A later line with the same identity (run, stage, model, method, resolutions, seed) supersedes an earlier one when read.
What all records of a command share has lines of its own (`configuration_lines.py`), which records name.
How lines are written, read and set aside is in `record_lines.py`; `append` and `read` are here, too.

Longer than other files, because a field of a record has its line of documentation here, too.
"""

from __future__ import annotations

import logging
import math
import os
import platform
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from rpe2d_bench.config.experiment import Experiment
from rpe2d_bench.errors import UserError
from rpe2d_bench.resolution import Size
from rpe2d_bench.storage import configuration_lines, record_lines, records_v1
from rpe2d_bench.storage.configuration_lines import Configurations
from rpe2d_bench.storage.folder import copies_in
from rpe2d_bench.storage.machine import gpu_name
from rpe2d_bench.storage.record_parts import (
    Artifacts,
    Configuration,
    MeasurementDetails,
    Part,
    Provenance,
    ResolvedConfig,
    SamplingDetails,
    TrainingDetails,
)
from rpe2d_bench.storage.unwritable import disk_errors

__all__ = [
    "RECORDS_FILE", "Configuration", "Provenance", "Record", "append", "latest_run", "lines_of",
    "provenance", "read", "set_aside",
]  # fmt: skip
LOG = logging.getLogger("rpe2d_bench.storage.records")
RECORDS_FILE = "records.jsonl"
PACKAGES = ("rpe2d-bench", "torch", "numpy", "ray", "mlflow", "clean-fid")
# The dirty flag looks at what can change a number, not at documents.
MISTAKES = (ValueError, LookupError, TypeError, AttributeError)  # raised by what is no record of a known version
ROOT = Path(__file__).resolve().parents[2]
CODE = ("rpe2d_bench", "baselines", "experiments", "pyproject.toml")


class Record(BaseModel):
    """One result: a trained model, a measured cell, or a reference measured against itself."""

    model_config = Part.model_config

    schema_version: Literal[3] = 3
    """of this format; lines of versions 1 and 2 are read as well"""
    stage: Literal["train", "measure", "denoise", "floor", "reconstruction", "enlarged", "noise"]
    """train: one trained model; measure: a method at a test resolution, by its samples; denoise: by what it makes of
    noised real images; floor: real against real images; reconstruction: what an autoencoder leaves of real images;
    enlarged: real images at the train resolution, enlarged; noise: real images with noise"""
    status: Literal["ok", "failed"] = "ok"
    """whether there is a result"""
    error: str | None = None
    """one line, when failed"""
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    """date and time, UTC"""

    experiment: str
    """name of the experiment"""
    run: str
    """one invocation of `run` on one resolved configuration: same configuration, same run"""
    key: str
    """content address of the stage that made it"""
    model: str | None = None
    """entry of `models:`"""
    method: str | None = None
    """entry of `methods:`; null unless a method was measured"""
    train_resolution: Size | None = None
    """pixels, of the pair in `resolutions:`"""
    test_resolution: Size | None = None
    """pixels; null for a trained model"""
    seed: int | None = None
    """of training and sampling"""
    num_samples: int | None = None
    """images that were really used on each side"""

    metrics: dict[str, float] = {}
    """value by name, as measured: kid_glyphnet, ...; of a training: validation_loss, images_per_second"""
    metric_versions: dict[str, str] = {}
    """metric -> version of its definition, and its net with version"""
    timings: dict[str, float] = {}
    """seconds of computation per part, as measured when the stage really ran"""
    training: TrainingDetails | None = None
    """of a trained model"""
    measurement: MeasurementDetails | None = None
    """of what was measured"""
    sampling: SamplingDetails | None = None
    """of a cell"""
    artifacts: Artifacts = Artifacts()
    """files of the result below the store"""
    configuration: Configuration
    """the experiment that produced it, code, machine and command; in a line, the name of a line that holds it"""

    @model_validator(mode="before")
    @classmethod
    def _gathered(cls, given: Any) -> Any:
        """The parts of the configuration may stand beside the other fields, as they did in version 2."""
        if not isinstance(given, dict) or "configuration" in given:
            return given
        parts = {name: given[name] for name in Configuration.model_fields if name in given}
        rest = {name: value for name, value in given.items() if name not in parts}
        return rest | {"configuration": parts}

    @model_validator(mode="before")
    @classmethod
    def _numbers_only(cls, given: Any) -> Any:
        """A result that is not a number is none: the record says so and has failed; what else it holds is kept.

        JSON has no NaN, so older versions wrote null for it.
        """
        if not isinstance(given, dict) or not isinstance(given.get("metrics"), dict):
            return given
        if isinstance(given.get("timings"), dict):
            given = given | {"timings": {name: value for name, value in given["timings"].items() if _is_number(value)}}
        broken = [name for name, value in given["metrics"].items() if not _is_number(value)]
        if not broken:
            return given
        kept = {name: value for name, value in given["metrics"].items() if name not in broken}
        error = given.get("error") or f"not a number: {', '.join(map(str, broken))}"
        return given | {"metrics": kept, "status": "failed", "error": error}

    @property
    def config(self) -> ResolvedConfig:
        """The experiment that produced it, as resolved, and how that came about."""
        return self.configuration.config

    @property
    def provenance(self) -> Provenance:
        """Code, machine and command."""
        return self.configuration.provenance

    def as_of(self, experiment: Experiment) -> Record:
        """The same result, as one of another experiment."""
        config = self.config.model_copy(update={"experiment": experiment})
        return self.model_copy(update={"configuration": self.configuration.model_copy(update={"config": config})})

    @property
    def subject(self) -> str:
        """What it is of, in a sentence: a method, a model, or real images."""
        return self.method or self.model or "real images"

    @property
    def of_method(self) -> bool:
        """Whether this is of a method at a test resolution."""
        return self.stage in ("measure", "denoise")

    @property
    def data_revision(self) -> str | None:
        """Identity of the images that the model was trained on or the samples compared with, where it was recorded."""
        details = self.training or self.measurement
        return None if details is None else details.data_revision

    @property
    def coincides_with(self) -> tuple[str, ...]:
        """Methods that realise the same numbers in this cell."""
        return () if self.sampling is None else self.sampling.coincides_with

    @property
    def identity(self) -> tuple[Any, ...]:
        """What makes a record the newer version of an older one."""
        return (self.run, self.stage, self.model, self.method, self.train_resolution, self.test_resolution, self.seed)


def append(store: Path, record: Record) -> None:
    """Append one record as one line, and before it what it shares with others where the file does not hold that yet.

    Safe with several writers on one machine, and after a kill in mid-line.
    Raises Unwritable where the disk is full; then the file is as it was.
    """
    name, shared = configuration_lines.line_of(record.configuration, record.experiment, record.run)
    with disk_errors(store):
        record_lines.append(store / RECORDS_FILE, _line_of(record, name), shared)


def lines_of(records: Iterable[Record]) -> Iterator[bytes]:
    """The lines of a file of these records: what they share stands before the first that names it, and again after."""
    made: dict[tuple[object, ...], tuple[str, bytes, Configuration]] = {}  # with the object, which keeps its id
    copies: Counter[str] = Counter()
    for record in records:
        which = (id(record.configuration), record.experiment, record.run)
        if which not in made:
            shared = record.configuration
            made[which] = (*configuration_lines.line_of(shared, record.experiment, record.run), shared)
        name, line, _ = made[which]
        if copies[name] < record_lines.COPIES:
            copies[name] += 1
            yield line
        yield _line_of(record, name)


def _line_of(record: Record, configuration: str) -> bytes:
    document = record.model_dump(mode="json", exclude={"configuration"})
    return record_lines.line_of(document | {"configuration": configuration})


def read(source: Path, say: Callable[[str], None] | None = None) -> list[Record]:
    """All records of a store (or of a .jsonl file), newest version of each identity, in order of first appearance.

    A line that can't be read is left out and named: to `say`, or once per process as a warning.
    Raises UserError where there is no such file.
    """
    path = source / RECORDS_FILE if source.is_dir() else source
    if not path.exists():
        copies = copies_in(source)
        where = copies.address if copies else path
        raise UserError(f"no records at {where}; run an experiment first: rpe2d-bench run experiments/NAME.yaml")
    newest: dict[tuple[Any, ...], Record] = {}
    try:
        for line, record, damage in _read(list(record_lines.read(path))):
            if damage:
                (say or _warn)(f"{path}:{line.number} {damage}; it is left out, and the next `run` sets it aside")
            elif record is not None:
                newest[record.identity] = record
    except OSError as error:
        raise UserError(f"{path}: {os.strerror(error.errno or 0)}; records cannot be read") from error
    return list(newest.values())


def set_aside(store: Path, say: Callable[[str], None]) -> None:
    """Move lines that can't be read out of the records, into a file beside; those of a later version stay."""
    path = store / RECORDS_FILE
    reasons: dict[int, str] = {}

    def rejected(lines: list[record_lines.Line]) -> list[record_lines.Line]:
        damaged = [(line, damage) for line, _, damage in _read(lines) if damage]
        reasons.update((line.number, damage) for line, damage in damaged)
        return [line for line, damage in damaged if not line.vouched or damage == configuration_lines.ABSENT]

    with suppress(OSError):  # a store that can't be written: readers leave the lines out all the same
        moved = record_lines.set_aside(path, rejected)
        beside = record_lines.rejected_file(path).name
        for line in moved:
            say(f"{path}:{line.number} {reasons[line.number]}; it is kept in {beside}, and what it said is made again")


def _read(lines: list[record_lines.Line]) -> Iterator[tuple[record_lines.Line, Record | None, str]]:
    """Every line with its record, or why there is none; a line of a configuration has neither."""
    shared = Configurations()
    reasons: dict[int, str] = {}
    for line in lines:  # first, wherever they stand: one that was damaged is written again behind its records
        if line.document is not None and configuration_lines.is_one(line.document):
            try:
                shared.add(line.document)
            except MISTAKES as error:
                reasons[line.number] = _words(error)
    for line in lines:
        if line.document is None or line.number in reasons:
            yield line, None, line.damage or reasons[line.number]
        elif configuration_lines.is_one(line.document):
            yield line, None, ""
        else:
            try:
                yield line, _record_in(line.document, shared), ""
            except configuration_lines.Absent as error:
                yield line, None, str(error)
            except MISTAKES as error:
                yield line, None, _words(error)


def _words(error: Exception) -> str:
    """Why a line is not of this version."""
    first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": repr(error)}
    return f"is not a record of this version ({'.'.join(map(str, first['loc']))}: {first['msg']})"


def _record_in(document: dict[str, Any], shared: Configurations) -> Record:
    """Raises what an object that is no record of a known version raises, and configuration_lines.Absent."""
    configuration, rest = shared.of(document)
    if rest.get("schema_version") == 1:
        rest = records_v1.upgraded(rest, configuration.config.experiment)
    if rest.get("schema_version") == 2:
        rest = rest | {"schema_version": 3}
    return Record.model_validate(rest | {"configuration": configuration})


@lru_cache(maxsize=1000)
def _warn(sentence: str) -> None:
    LOG.warning(sentence)


def _is_number(value: Any) -> bool:
    """Whether it is one, or something that the field's own type judges."""
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def latest_run(records: Iterable[Record], experiment: str | None = None) -> str | None:
    """The run whose newest record is the newest of all (of an experiment, when given)."""
    chosen = [record for record in records if experiment in (None, record.experiment)]
    return max(chosen, key=lambda record: record.created).run if chosen else None


@cache
def commit_of(root: Path) -> tuple[str | None, bool]:
    """The commit that a repository stands at, and whether code or experiments differ from it; None without one."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True).stdout

    try:
        commit = git("rev-parse", "HEAD").strip()
        return commit, bool(git("status", "--porcelain", "--", *CODE).strip())
    except (OSError, subprocess.CalledProcessError):
        return None, False


def provenance(device: str = "cpu") -> Provenance:
    """The provenance of a result made now, by this process."""
    commit, dirty = commit_of(ROOT)
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
        platform=", ".join([f"{platform.system()} {platform.machine()}", *([gpu_name()] if device == "cuda" else [])]),
        device=device,
        command=" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    )
